"""Logging in and out, as routes: tokens for a name and a password, sessions to look at and to end.

    app.include_router(auth_router(logins, sessions, claims), prefix="/api/v1/auth")

- `POST /token`: the token endpoint of OAuth 2.0 (RFC 6749): `grant_type=password` with `username` and `password`, and
  `grant_type=refresh_token` with `refresh_token`.
- `POST /revoke`: ends the session of a refresh token (RFC 7009).
- `POST /logout`, `POST /logout-everywhere`: end this session, or all.
- `GET /sessions`, `DELETE /sessions/{id}`: look at one's sessions, and end one.
- `POST /password`: another password, which ends all sessions and starts one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Body, HTTPException, Request, Response
from fastapi.requests import HTTPConnection
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from heykit import provided
from heykit.errors import Throttled, TokenError
from heykit.scope import Provider
from heykit.security.jwt import Claims
from heykit.security.logins import Logins
from heykit.security.sessions import Session, Sessions
from heykit.security.tokens import TokenPair
from heykit.web.client import client_of
from heykit.web.guards import unauthorised
from heykit.web.tokens import token_granted, token_refused

__all__ = ["SessionInfo", "auth_router"]

InBody = Annotated[str, Body(embed=True)]
Form: TypeAlias = Mapping[str, str]
Responses: TypeAlias = dict[int | str, dict[str, object]]


@dataclass(frozen=True)
class TokenResponse:
    """What a token endpoint gives (RFC 6749, section 5.1); `expires_in` in seconds."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


@dataclass(frozen=True)
class TokenRefusal:
    """What a token endpoint says of a request that it refuses (RFC 6749, section 5.2)."""

    error: str
    error_description: str


@dataclass(frozen=True)
class SessionInfo:
    """A session as its user sees it; `current` is the one that asks."""

    id: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    ip: str
    user_agent: str
    current: bool


_GRANTED: Final[Responses] = {200: {"model": TokenResponse, "description": "Tokens"}}
_REFUSED: Final[Responses] = {
    400: {"model": TokenRefusal, "description": "Refused, as OAuth 2.0 has it (RFC 6749, section 5.2)"}
}
_THROTTLED: Final[Responses] = {
    429: {
        "description": "Too many attempts",
        "headers": {"Retry-After": {"description": "seconds to wait", "schema": {"type": "integer"}}},
    }
}


def auth_router(logins: Provider[Logins], sessions: Provider[Sessions], claims: Provider[Claims]) -> APIRouter:
    """Make the routes of logging in and out; `claims` are those of `bearer`, best of `in_session` over it.

    Too many attempts are answered 429 with Retry-After, what an OAuth client must know as RFC 6749 has it.
    """
    router = APIRouter(tags=["auth"])
    _add_tokens(router, logins)
    _add_sessions(router, logins, sessions, claims)
    return router


def _add_tokens(router: APIRouter, logins: Provider[Logins]) -> None:
    shown = _form_in_docs(grant_type=False, username=False, password=False, refresh_token=False)

    @router.post("/token", responses={**_GRANTED, **_REFUSED, **_THROTTLED}, openapi_extra=shown)
    async def token(request: Request, of: Logins = provided(logins)) -> JSONResponse:
        match await _form(request):
            case {"grant_type": "refresh_token", "refresh_token": refresh_token}:
                return await _refreshed(of, refresh_token, request)
            case {"grant_type": "password", "username": username, "password": password}:
                return await _logged_in(of, username, password, request)
            case {"grant_type": "password" | "refresh_token"} | None:
                return _invalid("what this grant needs is missing, or stands twice")
            case {"grant_type": _}:
                return token_refused("give a password or a refresh_token", error="unsupported_grant_type")
            # Clients of before grant types were named send a name and a password.
            case {"username": username, "password": password}:
                return await _logged_in(of, username, password, request)
        return _invalid("grant_type is missing")

    @router.post("/revoke", responses=_REFUSED, openapi_extra=_form_in_docs(token=True, token_type_hint=False))
    async def revoke(request: Request, of: Logins = provided(logins)) -> Response:
        match await _form(request):
            case {"token": shown} if shown.startswith("ey"):
                # RFC 7009, section 2.2.1. A JSON object in base64url: an access token, which ends with its session.
                return token_refused("only refresh tokens are revoked", error="unsupported_token_type")
            case {"token": shown}:
                # RFC 7009, section 2.2: an invalid token is no error, since the client cannot do anything about it.
                await of.revoke(shown, **client_of(request)._asdict())
                return Response(headers={"Cache-Control": "no-store"})
        return _invalid("token is missing, or stands twice")


async def _form(request: Request) -> Form | None:
    """Read a form of OAuth; `None` for what is none, and where a parameter stands twice."""
    try:
        async with request.form(max_files=0, max_fields=20) as form:
            given = {name: value for name, value in form.multi_items() if isinstance(value, str) and value}
            # RFC 6749, section 3.2: parameters must not be included more than once, and without a value are omitted.
            return given if len(form.multi_items()) == len({*form}) else None
    except StarletteHTTPException as error:
        if error.status_code != 400:
            raise
        return None
    except (ClientDisconnect, ValueError):
        return None


def _form_in_docs(**fields: bool) -> dict[str, object]:
    """Describe a form: its fields, and whether each is needed."""
    schema = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in fields},
        "required": [name for name, is_needed in fields.items() if is_needed],
    }
    return {"requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": schema}}, "required": True}}


def _invalid(reason: str) -> JSONResponse:
    return token_refused(reason, error="invalid_request")


async def _refreshed(of: Logins, refresh_token: str, connection: HTTPConnection) -> JSONResponse:
    try:
        pair = await of.refresh(refresh_token, **client_of(connection)._asdict())
    except TokenError as refused:
        return token_refused(str(refused))
    return _granted(pair)


async def _logged_in(of: Logins, username: str, password: str, connection: HTTPConnection) -> JSONResponse:
    try:
        pair = await of.log_in(username, password, **client_of(connection)._asdict())
    except Throttled as locked:
        raise _too_many(locked) from None
    return token_refused("no user has this name and password") if pair is None else _granted(pair)


def _add_sessions(
    router: APIRouter, logins: Provider[Logins], sessions: Provider[Sessions], claims: Provider[Claims]
) -> None:
    @router.post("/logout", status_code=204)
    async def logout(connection: HTTPConnection, who: Claims = provided(claims), of: Logins = provided(logins)) -> None:
        await of.end(_session_of(who), str(who["sub"]), reason="logout", **client_of(connection)._asdict())

    @router.post("/logout-everywhere", status_code=204)
    async def logout_everywhere(
        connection: HTTPConnection, who: Claims = provided(claims), of: Logins = provided(logins)
    ) -> None:
        await of.end_all(str(who["sub"]), **client_of(connection)._asdict())

    @router.get("/sessions")
    async def list_sessions(who: Claims = provided(claims), all: Sessions = provided(sessions)) -> list[SessionInfo]:
        return [_info(session, _session_of(who)) for session in await all.of_user(str(who["sub"]))]

    @router.delete("/sessions/{id}", status_code=204)
    async def end_session(
        id: str, connection: HTTPConnection, who: Claims = provided(claims), of: Logins = provided(logins)
    ) -> None:
        if not await of.end(id, str(who["sub"]), **client_of(connection)._asdict()):
            raise HTTPException(404, "there is no such session")

    @router.post("/password", responses={**_GRANTED, **_THROTTLED, 403: {"description": "Not the current password"}})
    async def change_password(
        connection: HTTPConnection,
        current_password: InBody,
        new_password: InBody,
        who: Claims = provided(claims),
        of: Logins = provided(logins),
    ) -> JSONResponse:
        try:
            pair = await of.change_password(
                str(who["sub"]), current_password, new_password, **client_of(connection)._asdict()
            )
        except Throttled as locked:
            raise _too_many(locked) from None
        if pair is None:
            raise HTTPException(403, "the current password is not right")
        return _granted(pair)


def _granted(pair: TokenPair) -> JSONResponse:
    return token_granted(pair.access_token, lifetime=pair.expires_in, refresh_token=pair.refresh_token)


def _session_of(claims: Claims) -> str:
    id = claims.session
    if id is None:
        raise unauthorised("The token is of no session.")
    return id


def _info(session: Session, current: str) -> SessionInfo:
    created, seen, ends = (
        datetime.fromtimestamp(at, UTC) for at in (session.created_at, session.seen_at, session.ends_at)
    )
    return SessionInfo(session.id, created, seen, ends, session.ip, session.user_agent, session.id == current)


def _too_many(locked: Throttled) -> HTTPException:
    # RFC 6585, section 4, and RFC 9110, section 10.2.3: whole seconds.
    seconds = str(max(1, math.ceil(locked.retry_after)))
    return HTTPException(429, str(locked), headers={"Retry-After": seconds, "Cache-Control": "no-store"})
