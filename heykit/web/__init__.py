"""FastAPI's edge: guards, health pages, errors as problem responses.

`bearer(keys, ...)` gives the claims of the request's token; `require_role(user, "admin")` and
`require_permission(user, "read:videos")` build on a provider of the user and show themselves in OpenAPI;
`session_id(claims)` is what `scope.session(by=...)` takes.
`health_router()` has a page for each kind of thing the application holds open. `problems(app)` answers every error as
RFC 9457 has it. `heykit.web.serving` serves an application with uvicorn.
"""

from __future__ import annotations

from heykit.security.tokens import access_token
from heykit.web.files import streamed
from heykit.web.guards import Claims, bearer, require_permission, require_role, session_id, unauthorised
from heykit.web.health import health_router
from heykit.web.problem import Problem, problem_response, problems
from heykit.web.tokens import token_granted, token_refused

__all__ = [
    "Claims",
    "Problem",
    "access_token",
    "bearer",
    "health_router",
    "problem_response",
    "problems",
    "require_permission",
    "require_role",
    "session_id",
    "streamed",
    "token_granted",
    "token_refused",
    "unauthorised",
]
