"""FastAPI's edge: guards, health pages, errors as problem responses.

`bearer(keys, ...)` gives the claims of the request's token; `require_role(user, "admin")` and
`require_permission(user, "read:videos")` build on a provider of the user and show themselves in OpenAPI;
`in_session(claims, sessions)` asks whether its session has ended; `session_id` is what `scope.session(by=...)` takes.
`session_cookie(sessions)` keeps sessions of browsers; `auth_router` has the routes of logging in and out, and
`jwks_router` publishes keys.
`health_router()` has a page for each kind of thing the application holds open. `problems(app)` answers every error as
RFC 9457 has it. `heykit.web.serving` serves an application with uvicorn.
"""

from __future__ import annotations

from heykit.security.jwt import Claims
from heykit.web._session_cookie import SessionCookie, is_cross_site, session_cookie
from heykit.web.auth import SessionInfo, auth_router
from heykit.web.client import Client, client_of
from heykit.web.files import streamed
from heykit.web.guards import (
    bearer,
    in_session,
    require_permission,
    require_role,
    session_id,
    unauthorised,
)
from heykit.web.health import health_router
from heykit.web.jwks import jwks_router
from heykit.web.problem import Problem, problem_response, problems
from heykit.web.tokens import token_granted, token_refused

__all__ = [
    "Claims",
    "Client",
    "Problem",
    "SessionCookie",
    "SessionInfo",
    "auth_router",
    "bearer",
    "client_of",
    "health_router",
    "in_session",
    "is_cross_site",
    "jwks_router",
    "problem_response",
    "problems",
    "require_permission",
    "require_role",
    "session_cookie",
    "session_id",
    "streamed",
    "token_granted",
    "token_refused",
    "unauthorised",
]
