"""Logging in and out: passwords, throttle, sessions, tokens and audit put together.

    logins = login_service(members, passwords, sessions, tokens, throttle=throttle, audit=audit)
    pair = await logins.log_in("ada", "correct horse battery staple", ip="192.0.2.7")
    pair = await logins.change_password(user.id, "correct horse battery staple", "another one", ip="192.0.2.7")
    await logins.end_all(user.id)

`heykit.web.auth_router` has the routes for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, Protocol, TypeAlias, TypeVar

from heykit._finish import finish
from heykit.errors import HeykitError, TokenError
from heykit.security.audit import Audit, PasswordChanged, SessionEnded, report
from heykit.security.authentication import authenticate
from heykit.security.passwords import MAX_PASSWORD_BYTES
from heykit.security.protocol import Account, Passwords, UserStore
from heykit.security.sessions import Sessions
from heykit.security.throttle import Throttle
from heykit.security.tokens import TokenPair, Tokens

__all__ = ["Logins", "Member", "MemberStore", "WeakPassword", "check_password", "login_service"]

Reason: TypeAlias = Literal["logout", "ended", "all ended", "password changed"]

SHORTEST_PASSWORD: Final = 8  # characters: NIST SP 800-63B §5.1.1.2


class Member(Account, Protocol):
    """Someone with an account: `id` never changes, and `name` is what they log in with."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


M = TypeVar("M", bound=Member)


class MemberStore(UserStore[M], Protocol[M]):
    """Where members are found, and their hashes changed."""

    async def by_id(self, id: str, /) -> M | None: ...
    async def change_password_hash(self, member: M, hashed: str, /) -> bool:
        """Give a member another hash, unless theirs is not the one they came with any more; tell whether it was."""
        ...


class Logins(Protocol):
    """Who comes in, and goes. `ip` and `user_agent` are the client's, for the throttle, the sessions and the audit.

    Every method raises Unavailable where something that it needs is away.
    """

    async def log_in(self, name: str, password: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair | None:
        """Give tokens to who has this name and password. Raises Throttled after too many attempts."""
        ...

    async def refresh(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        """Change a refresh token for the next pair. Raises TokenError: `token.refresh` or `token.reused`."""
        ...

    async def revoke(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> bool:
        """End the session of a refresh token; tell whether there was one."""
        ...

    async def change_password(
        self, id: str, current: str, new: str, /, *, ip: str = "", user_agent: str = ""
    ) -> TokenPair | None:
        """Change a password for another, end all sessions and start one; `None` where the current one is not right.

        Raises Throttled after too many attempts, and whatever says that the new one may not be (WeakPassword).
        """
        ...

    async def end(
        self, session: str, user: str, /, *, ip: str = "", user_agent: str = "", reason: Reason = "ended"
    ) -> bool:
        """End a session of a user; tell whether there was one."""
        ...

    async def end_all(self, user: str, /, *, ip: str = "", user_agent: str = "", reason: Reason = "all ended") -> int:
        """End all sessions of a user; tell how many."""
        ...


class WeakPassword(HeykitError):
    """A new password breaks a rule, which the message says."""

    code = "password.weak"
    status = 422


def check_password(password: str) -> None:
    """Refuse a password of fewer than 8 characters, of more than 1,024 bytes, or that is no text: WeakPassword."""
    try:
        size = len(password.encode("utf-8"))
    except UnicodeEncodeError:
        size = MAX_PASSWORD_BYTES + 1
    if len(password) < SHORTEST_PASSWORD or size > MAX_PASSWORD_BYTES:
        raise WeakPassword(
            f"password: {SHORTEST_PASSWORD} characters or more, up to {MAX_PASSWORD_BYTES} bytes in UTF-8"
        )


def login_service(
    members: MemberStore[M],
    passwords: Passwords,
    sessions: Sessions,
    tokens: Tokens,
    *,
    throttle: Throttle | None = None,
    audit: Audit | None = None,
    check_password: Callable[[str], None] = check_password,
    now: Callable[[], float] = time.time,
) -> Logins:
    """Put together what logging in needs; it needs no closing. `check_password` raises for what may be no password."""
    return _Logins(members, passwords, sessions, tokens, throttle, audit, check_password, now)


@dataclass(frozen=True)
class _Logins(Generic[M]):
    members: MemberStore[M]
    passwords: Passwords
    sessions: Sessions
    tokens: Tokens
    throttle: Throttle | None
    audit: Audit | None
    check_password: Callable[[str], None]
    now: Callable[[], float]

    async def log_in(self, name: str, password: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair | None:
        known = await self._known(name, password, ip, user_agent)
        if known is None:
            return None
        pair = await self.tokens.issue(known.id, ip=ip, user_agent=user_agent)
        # A password that was changed meanwhile opens nothing: it is seen here, or who changed it ends this session.
        try:
            is_still = await self._now_of(known, password) is not None
        except BaseException:
            await finish(self.end(pair.session.id, known.id, ip=ip, user_agent=user_agent, reason="password changed"))
            raise
        if is_still:
            return pair
        await self.end(pair.session.id, known.id, ip=ip, user_agent=user_agent, reason="password changed")
        return None

    async def refresh(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> TokenPair:
        # Before the token is changed for another, so that where the members are away it can be shown again.
        session = await self.tokens.session_of(refresh_token)
        if session is not None and await self.members.by_id(session.user) is None:
            await self.end_all(session.user, ip=ip, user_agent=user_agent)
            raise TokenError("The user of this refresh token is gone.", code="token.refresh")
        return await self.tokens.refresh(refresh_token, ip=ip, user_agent=user_agent)

    async def revoke(self, refresh_token: str, /, *, ip: str = "", user_agent: str = "") -> bool:
        return await self.tokens.revoke(refresh_token, ip=ip, user_agent=user_agent)

    async def change_password(
        self, id: str, current: str, new: str, /, *, ip: str = "", user_agent: str = ""
    ) -> TokenPair | None:
        self.check_password(new)
        asking = await self.members.by_id(id)
        known = None if asking is None else await self._known(asking.name, current, ip, user_agent)
        if known is None or known.id != id:
            return None
        hashed = await self.passwords.hash(new)
        member = await self._now_of(known, current)
        if member is None or not await finish(self._change(member, hashed, ip, user_agent)):
            return None
        return await self.tokens.issue(id, ip=ip, user_agent=user_agent)

    async def _change(self, member: M, hashed: str, ip: str, user_agent: str) -> bool:
        """Change the hash that the current password was compared with, and no other."""
        # First, so that nothing is changed where their store is away; and again, for those that began meanwhile.
        await self.sessions.end_all(member.id)
        if not await self.members.change_password_hash(member, hashed):
            return False
        report(self.audit, PasswordChanged(at=self.now(), user=member.id, ip=ip, user_agent=user_agent))
        await self._end_all(member.id, ip, user_agent, "password changed")
        return True

    async def end(
        self, session: str, user: str, /, *, ip: str = "", user_agent: str = "", reason: Reason = "ended"
    ) -> bool:
        return await finish(self._end(session, user, ip, user_agent, reason))

    async def _end(self, session: str, user: str, ip: str, user_agent: str, reason: Reason) -> bool:
        if not await self.sessions.end(session, user=user):
            return False
        self._tell(user, session, ip, user_agent, reason)
        return True

    async def end_all(self, user: str, /, *, ip: str = "", user_agent: str = "", reason: Reason = "all ended") -> int:
        return await finish(self._end_all(user, ip, user_agent, reason))

    async def _end_all(self, user: str, ip: str, user_agent: str, reason: Reason) -> int:
        ended = await self.sessions.end_all(user)
        self._tell(user, None, ip, user_agent, reason)
        return ended

    def _tell(self, user: str, session: str | None, ip: str, user_agent: str, reason: Reason) -> None:
        event = SessionEnded(at=self.now(), user=user, session=session, ip=ip, user_agent=user_agent, reason=reason)
        report(self.audit, event)

    async def _known(self, name: str, password: str, ip: str, user_agent: str) -> _Known | None:
        hashes: list[str] = []

        async def upgrade(member: M, hashed: str) -> None:
            if await self.members.change_password_hash(member, hashed):
                hashes.append(hashed)

        member = await authenticate(
            self.members,
            name,
            password,
            passwords=self.passwords,
            throttle=self.throttle,
            upgrade=upgrade,
            audit=self.audit,
            ip=ip,
            user_agent=user_agent,
            now=self.now,
        )
        if member is None or member.password_hash is None:
            return None
        return _Known(member.id, (member.password_hash, *hashes))

    async def _now_of(self, known: _Known, password: str) -> M | None:
        """Give a member as they are now, if the password they have shown is theirs still."""
        member = await self.members.by_id(known.id)
        if member is None or member.password_hash is None:
            return None
        # The same password may have been hashed anew meanwhile, by another login.
        is_theirs = member.password_hash in known.hashes or await self.passwords.verify(password, member.password_hash)
        return member if is_theirs else None


@dataclass(frozen=True)
class _Known:
    """Who has shown a password, and the hashes that it was compared with and that it has now."""

    id: str
    hashes: tuple[str, ...] = field(repr=False)
