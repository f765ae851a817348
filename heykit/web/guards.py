"""Who is asking, and may they: 401 and 403 told apart as RFC 6750 has it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar

from fastapi import Depends, HTTPException, params
from fastapi.security import OAuth2PasswordBearer

from heykit import provided, scope
from heykit.errors import TokenError
from heykit.scope import Provider
from heykit.security import access, jwt
from heykit.security.access import Permitted, Subject
from heykit.security.keys import Key, KeySet
from heykit.security.tokens import ACCESS_TOKEN

U = TypeVar("U", bound=Subject)
P = TypeVar("P", bound=Permitted)
Claims: TypeAlias = Mapping[str, object]


def bearer(
    keys: Provider[Key | KeySet],
    *,
    issuer: str,
    audience: str,
    token_url: str,
    leeway: float = 30.0,
    now: Callable[[], float] = time.time,
) -> Provider[Claims]:
    """Give the claims of the request's bearer token: a JWT access token (RFC 9068) signed by one of `keys`.

    `token_url` is where the Authorize button of the docs asks for one; `leeway` (seconds) is for clocks that differ.
    Answers 401 where the token is missing, forged, expired, or for another issuer or audience.
    """
    scheme: params.Depends = Depends(OAuth2PasswordBearer(token_url, auto_error=False))

    @scope.request
    async def claims(token: str | None = scheme, signing: Key | KeySet = provided(keys)) -> Claims:  # type: ignore[assignment]
        if token is None:
            # RFC 6750, section 3.1: a request without any credentials gets no error code.
            raise _challenge(401, "a bearer token is needed")
        try:
            found = jwt.decode(
                token, signing, issuer=issuer, audience=audience, leeway=leeway, typ=ACCESS_TOKEN, now=now
            )
        except TokenError as refused:
            raise unauthorised(str(refused)) from None
        # RFC 9068, section 2.2: an access token must have these; one without `exp` would be good for ever.
        if not {"exp", "sub"} <= found.keys():
            raise unauthorised("The token lacks exp or sub.")
        return found

    return claims


def session_id(of: Provider[Claims]) -> Provider[str | None]:
    """Give what tells one login from another, for `scope.session(by=...)`: the `jti` of the token (RFC 7519, 4.1.7)."""

    async def session_id(claims: Claims = provided(of)) -> str | None:
        found = claims.get("jti")
        return found if isinstance(found, str) else None

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
