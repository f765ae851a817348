"""Access tokens, and refresh tokens that change with every use.

    tokens = token_issuer(keys, sessions, refresh_key, issuer="heygen", audience="api")
    pair = await tokens.issue(user.id, ip="192.0.2.7")
    pair = await tokens.refresh(pair.refresh_token)
    await tokens.revoke(pair.refresh_token)

An access token is a JWT (RFC 9068) and lives half an hour. A refresh token names a session and its generation under a
MAC, so that the store holds nothing worth stealing, and it opens nothing where sessions are kept by cookie. One that
comes again a little later gets the same successor: two tabs, or a client that lost the answer. One that comes again
much later ends the session.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from heykit._finish import finish
from heykit.errors import KeyRefused, TokenError
from heykit.security import _base64url, jwt
from heykit.security.audit import Audit, LoggedIn, RefreshTokenReused, SessionEnded, TokenRefreshed, report
from heykit.security.keys import Key, KeySet
from heykit.security.sessions import Outcome, Session, Sessions

__all__ = ["ACCESS_TOKEN", "TokenPair", "Tokens", "access_token", "token_issuer"]

# RFC 9068 §2.1: the media type of a JWT access token, so that no other kind of token passes for one.
ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type

_FORM: Final = re.compile(r"([0-9a-f]{64})\.(0|[1-9][0-9]{0,9})\.([A-Za-z0-9_-]{43,86})")
# No signed token begins like this: a key may be for both without one passing for the other.
_DOMAIN: Final = b"heykit refresh token\n"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token, the refresh token that gets the next one, the seconds the first is valid, and their session."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: float
    session: Session


class Tokens(Protocol):
    """Tokens for those who have logged in. Every method raises what the sessions raise where their store is away."""

    async def issue(self, user: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        """Start a session for a user who has shown who they are, and give its first tokens."""
        ...

    async def refresh(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        """Change a refresh token for the next pair.

        :raises TokenError: `token.refresh` for one that is none or whose session has ended, `token.reused` for one that
            was changed before; its session has ended now
        """
        ...

    async def session_of(self, refresh_token: str, /) -> Session | None:
        """Find the session of a refresh token, whichever generation it is of, if it has not ended."""
        ...

    async def revoke(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> bool:
        """End the session of a refresh token, whichever generation it is of; tell whether there was one."""
        ...


def token_issuer(
    keys: Key | KeySet,
    sessions: Sessions,
    refresh_keys: Key | KeySet,
    *,
    issuer: str,
    audience: str,
    lifetime: float = 1800.0,
    grace: float = 20.0,
    audit: Audit | None = None,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Tokens:
    """Issue tokens signed with `keys`; refresh tokens are authenticated with `refresh_keys`, which are shared secrets.

    Of a set the first key signs and all verify. An access token is valid for `lifetime` seconds; a refresh token that
    was changed less than `grace` seconds ago gets the same successor again.

    :raises KeyRefused: a refresh key is no shared secret
    :raises ValueError: a time that makes no sense
    """
    for key in _listed(refresh_keys):
        if not key.algorithm.startswith("HS"):
            raise KeyRefused("Refresh tokens need shared secrets: their MAC must be the same each time it is made.")
    if not (_newest(refresh_keys).may_sign and _newest(refresh_keys).may_verify and _newest(keys).may_sign):
        raise KeyRefused("A key may only verify, or only sign: the first of a set must do both for refresh tokens.")
    if not (lifetime > 0 and math.isfinite(lifetime)) or not (grace >= 0 and math.isfinite(grace)):
        raise ValueError("lifetime must be a finite number of seconds above 0, and grace one of 0 or more")
    made = _AccessTokens(keys, issuer, audience, lifetime, now, entropy)
    return _Tokens(made, sessions, refresh_keys, grace, audit, now)


def access_token(
    keys: Key | KeySet,
    *,
    subject: str,
    issuer: str,
    audience: str,
    lifetime: float,
    session: Session | None = None,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> str:
    """Sign an access token, valid for `lifetime` seconds; of a session it names the id (`sid`) and the epoch."""
    at = int(now())
    # RFC 9068 §2.2: the claims an access token must have.
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "client_id": audience,
        "iat": at,
        "exp": at + math.ceil(lifetime),
        "jti": entropy(16).hex(),
    }
    if session is not None:
        # OpenID Connect Front-Channel Logout §3: `sid` is the session's identifier.
        claims |= {"sid": session.id, "epoch": session.epoch}
    return jwt.encode(claims, keys, typ=ACCESS_TOKEN)


@dataclass(frozen=True)
class _AccessTokens:
    keys: Key | KeySet
    issuer: str
    audience: str
    lifetime: float
    now: Callable[[], float]
    entropy: Callable[[int], bytes]

    def of(self, session: Session) -> str:
        return access_token(
            self.keys,
            subject=session.user,
            issuer=self.issuer,
            audience=self.audience,
            lifetime=self.lifetime,
            session=session,
            now=self.now,
            entropy=self.entropy,
        )


@dataclass(frozen=True)
class _Tokens:
    access: _AccessTokens
    sessions: Sessions
    keys: Key | KeySet
    grace: float
    audit: Audit | None
    now: Callable[[], float]

    async def issue(self, user: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        pairs: list[TokenPair] = []
        try:
            await finish(self._issue(user, ip, user_agent, pairs))
        except BaseException:
            for pair in pairs:  # nobody has it
                await finish(self.sessions.end(pair.session.id))
            raise
        return pairs[0]

    async def _issue(self, user: str, ip: str, user_agent: str, pairs: list[TokenPair]) -> None:
        session = (await self.sessions.start(user, ip=ip, user_agent=user_agent)).session
        pairs.append(self._pair(session))
        event = LoggedIn(at=self.now(), user=user, session=session.id, ip=ip, user_agent=user_agent)
        report(self.audit, event)

    async def refresh(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        id, generation = self._read(refresh_token)
        # Who leaves meanwhile does not keep the audit from hearing of it.
        outcome, session = await finish(self._advance(id, generation, ip, user_agent))
        if session is None or outcome == "unknown":
            raise _unknown()
        if outcome == "reused":
            raise TokenError(
                "This refresh token was changed for another one before; its session has ended: log in again.",
                code="token.reused",
            )
        return self._pair(session)

    async def _advance(self, id: str, generation: int, ip: str, user_agent: str) -> tuple[Outcome, Session | None]:
        outcome, session = await self.sessions.advance(id, generation, grace=self.grace)
        if session is None:
            return outcome, None
        kind = {"rotated": TokenRefreshed, "reused": RefreshTokenReused}.get(outcome)
        if kind is not None:
            told = session.generation if outcome == "rotated" else generation
            at = self.now()
            event = kind(at=at, user=session.user, session=id, ip=ip, user_agent=user_agent, generation=told)
            report(self.audit, event)
        return outcome, session

    async def session_of(self, refresh_token: str, /) -> Session | None:
        try:
            id, _ = self._read(refresh_token)
        except TokenError:
            return None
        return await self.sessions.by_id(id)

    async def revoke(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> bool:
        session = await self.session_of(refresh_token)
        return session is not None and await finish(self._revoke(session, ip, user_agent))

    async def _revoke(self, session: Session, ip: str, user_agent: str) -> bool:
        if not await self.sessions.end(session.id):
            return False
        told = {"at": self.now(), "user": session.user, "session": session.id, "ip": ip, "user_agent": user_agent}
        report(self.audit, SessionEnded(reason="logout", **told))  # type: ignore[arg-type]
        return True

    def _pair(self, session: Session) -> TokenPair:
        token = f"{session.id}.{session.generation}"
        mac = _base64url.encode(_newest(self.keys).sign(_DOMAIN + token.encode())).decode()
        return TokenPair(self.access.of(session), f"{token}.{mac}", self.access.lifetime, session)

    def _read(self, refresh_token: object) -> tuple[str, int]:
        """Give what a refresh token says. Only one of ours costs a look into the store."""
        found = _FORM.fullmatch(refresh_token) if isinstance(refresh_token, str) else None
        if found is None or not self._is_ours(f"{found[1]}.{found[2]}", found[3]):
            raise _unknown()
        return found[1], int(found[2])

    def _is_ours(self, token: str, mac: str) -> bool:
        try:
            signature = _base64url.decode(mac.encode())
        except ValueError:
            return False
        signed = _DOMAIN + token.encode()
        return any(key.verify(signed, signature) for key in _listed(self.keys))


def _listed(keys: Key | KeySet) -> list[Key]:
    return [keys] if isinstance(keys, Key) else list(keys)


def _newest(keys: Key | KeySet) -> Key:
    return keys if isinstance(keys, Key) else keys.newest()


def _unknown() -> TokenError:
    return TokenError("This is no refresh token, or its session has ended: log in again.", code="token.refresh")
