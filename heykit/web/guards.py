"""Who is asking, and may they: 401 and 403 told apart as RFC 6750 has it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, TypeVar

from fastapi import Depends, HTTPException, params
from fastapi.security import OAuth2PasswordBearer

from heykit import provided, scope
from heykit.errors import TokenError, Unavailable
from heykit.health import Health
from heykit.scope import Provider
from heykit.security import access, jwt
from heykit.security.access import Permitted, Subject
from heykit.security.jwt import Claims
from heykit.security.keys import Key, KeySet
from heykit.security.remote_keys import RemoteKeys
from heykit.security.sessions import Session, Sessions
from heykit.security.tokens import ACCESS_TOKEN

U = TypeVar("U", bound=Subject)
P = TypeVar("P", bound=Permitted)
Keys: TypeAlias = Key | KeySet | RemoteKeys


def bearer(
    keys: Provider[Keys],
    *,
    issuer: str,
    audience: str,
    token_url: str,
    leeway: float = 30.0,
    now: Callable[[], float] = time.time,
) -> Provider[Claims]:
    """Give the claims of the request's bearer token: a JWT access token (RFC 9068) signed by one of `keys`.

    `token_url` is where the Authorize button of the docs asks for one; `leeway` (seconds) is for clocks that differ.
    Answers 401 where the token is missing, forged, expired, or for another issuer or audience; how many were refused
    for which reason is a figure of health, `bearer_tokens`. That its session has not ended is asked by `in_session`.
    """
    scheme: params.Depends = Depends(OAuth2PasswordBearer(token_url, auto_error=False))

    @scope.application
    async def bearer_tokens() -> Refusals:
        return Refusals()

    @scope.request
    async def claims(
        token: str | None = scheme,  # type: ignore[assignment]
        signing: Keys = provided(keys),
        refusals: Refusals = provided(bearer_tokens),
    ) -> Claims:
        if token is None:
            # RFC 6750, section 3.1: a request without any credentials gets no error code.
            raise _challenge(401, "a bearer token is needed")
        try:
            known = signing if isinstance(signing, Key | KeySet) else await signing.keys_for(token)
            found = _complete(
                jwt.decode(token, known, issuer=issuer, audience=audience, leeway=leeway, typ=ACCESS_TOKEN, now=now)
            )
        except TokenError as refused:
            refusals.count(refused.code)
            raise unauthorised(str(refused)) from None
        refusals.accepted += 1
        return found

    return claims


def _complete(found: Mapping[str, object]) -> Claims:
    claims = Claims(found)
    # RFC 9068, section 2.2: an access token must have these; one without `exp` would be good for ever.
    if not {"exp", "sub"} <= claims.keys():
        raise TokenError("The token lacks exp or sub.", code="token.claims")
    return claims


def in_session(
    of: Provider[Claims],
    sessions: Provider[Sessions],
    *,
    when_away: Literal["refuse", "accept"] = "refuse",
) -> Provider[Claims]:
    """Give the claims of a token whose session has not ended: to log out is to be out at once.

    Where the store of sessions is away, `"refuse"` answers 503; `"accept"` takes the token at its word, so that for as
    long as it is valid (half an hour by default) a session that was ended there may go on.
    """

    @scope.request
    async def claims_in_session(claims: Claims = provided(of), all: Sessions = provided(sessions)) -> Claims:
        id = claims.session
        if id is None:
            raise unauthorised("The token is of no session.")
        try:
            session = await all.by_id(id)
        except Unavailable:
            if when_away == "accept":
                return claims
            raise
        if session is None or session.user != claims.subject or session.epoch != claims.get("epoch", 0):
            raise unauthorised("The session of the token has ended.")
        return claims

    return claims_in_session


class Refusals:
    """How many tokens were refused, by the code of the reason, and how many were not."""

    def __init__(self) -> None:
        self.accepted = 0
        self._refused: Counter[str] = Counter()

    def count(self, code: str) -> None:
        self._refused[code] += 1

    async def health(self) -> Health:
        return Health("pass", "security", figures=self.stats())

    def stats(self) -> Mapping[str, int]:
        return {"accepted": self.accepted, **self._refused}


def session_id(of: Provider[Claims] | Provider[Session]) -> Provider[str | None]:
    """Give what tells one login from another, for `scope.session(by=...)`.

    That is the id of a session; of a token it is `sid`, or `jti` (RFC 7519, 4.1.7) for one that is of no session.
    """
    given: Provider[Claims | Session] = of  # of either, so of one of both

    async def session_id(found: Claims | Session = provided(given)) -> str | None:
        if isinstance(found, Session):
            return found.id
        return found.session or found.id

    return scope.request(session_id)


def unauthorised(detail: str) -> HTTPException:
    """Make the 401 for a token that was good and is no longer, such as one whose user is gone."""
    return _challenge(401, detail, error="invalid_token")


def require_role(user: Provider[U], role: str) -> Provider[U]:
    """Give the user, who has the role; answers 403 where they do not."""

    async def with_role(subject: U = provided(user)) -> U:
        if not access.has_role(subject, role):
            raise _challenge(403, f"the role {role} is needed", error="insufficient_scope")
        return subject

    with_role.__name__ = role  # what a drawing and an error call it
    return scope.request(with_role)


def require_permission(user: Provider[P], permission: str) -> Provider[P]:
    """Give the user, who has the permission, such as `read:videos`; answers 403 where they do not."""

    async def with_permission(subject: P = provided(user)) -> P:
        if not access.has_permission(subject, permission):
            raise _challenge(403, f"the permission {permission} is needed", error="insufficient_scope")
        return subject

    with_permission.__name__ = permission  # what a drawing and an error call it
    return scope.request(with_permission)


def _challenge(status: int, detail: str, *, error: str | None = None) -> HTTPException:
    """RFC 6750, section 3: the challenge names the scheme and, where a token came, what is wrong with it."""
    challenge = "Bearer"
    if error is not None:
        # RFC 6750, section 3: error_description holds no quote, no backslash, nothing outside ASCII.
        told = "".join(c for c in detail if c.isascii() and c.isprintable() and c not in '"\\')
        challenge = f'Bearer error="{error}", error_description="{told}"'
    return HTTPException(status, detail, headers={"WWW-Authenticate": challenge})
