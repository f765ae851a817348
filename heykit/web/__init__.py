"""FastAPI's edge: guards, health pages, errors as problem responses.

`bearer(keys, ...)` gives the claims of the request's token; `require_role(user, "admin")` and
`require_permission(user, "read:videos")` build on a provider of the user and show themselves in OpenAPI.
`health_router()` has a page for each kind of thing the application holds open. `problems(app)` answers every error as
RFC 9457 has it.
"""

from __future__ import annotations

from heykit.web.guards import Claims, bearer, require_permission, require_role
from heykit.web.health import health_router
from heykit.web.problem import Problem, problems

__all__ = ["Claims", "Problem", "bearer", "health_router", "problems", "require_permission", "require_role"]
