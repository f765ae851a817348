"""Routes whose chain of dependencies is resolved straight down a list, outside FastAPI's recursion.

The registered route stays FastAPI's own, so OpenAPI is the same by construction. Its handler passes a request to a
*twin*: the same route, made once from the effective context (so with the dependencies of every inclusion), whose
endpoint opens the chain itself. A route is compiled if all its dependencies are providers that heykit resolves; every
other is left to FastAPI, and so is a request whose chain is overridden.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from heykit._instances import Instances, Overrides, instances_of
from heykit._needs import Dependency, name_of, needs_of, signature_of
from heykit._plan import Plan, known_to, plan_of, resolved
from heykit._provider import Provider
from heykit._seen import is_leaf

__all__ = ["CompiledRoute", "compiled", "uncompiled"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_REQUEST: Final = "heykit_request"
_ENTERED: Final = "heykit.entered"


def compiled(route_class: type[APIRoute]) -> type[APIRoute]:
    """Give `route_class` with compiled resolution, for `APIRouter(route_class=...)` or `app.router.route_class = ...`.

    What the class does around its `super().get_route_handler()` stays around both ways of resolving.
    """
    if issubclass(route_class, _CompiledRoute):
        return route_class
    return type(f"Compiled{route_class.__name__}", (route_class, _CompiledRoute), {})


class _CompiledRoute(APIRoute):
    def get_route_handler(self) -> Handler:
        native = super().get_route_handler()
        twin: _Twin | None = None
        sought = False

        async def handler(request: Request) -> Response:
            nonlocal twin, sought
            if not sought:
                twin, sought = _twin_of(self, request), True
            if twin is None or not twin.fits(request):
                return await native(request)
            request.scope[_ENTERED] = False
            try:
                return await twin.handler(request)
            except Exception:
                if request.scope.get(_ENTERED):
                    raise
                # Nothing of the chain was opened yet: FastAPI settles which error comes first.
                return await native(request)

        return handler


CompiledRoute: type[APIRoute] = _CompiledRoute


@dataclass(frozen=True)
class _Twin:
    handler: Handler
    chain: frozenset[Dependency]

    def fits(self, request: Request) -> bool:
        overrides: Overrides = request.scope["app"].dependency_overrides
        return not overrides or self.chain.isdisjoint(overrides)


def uncompiled(app: FastAPI) -> dict[str, str]:
    """Name the compiled routes of an application that are left to FastAPI, by path, and say why."""
    found: dict[str, str] = {}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, _CompiledRoute):
            reason = _why_native(_contexts(app, context.original_route))
            if reason:
                found[context.path or ""] = reason
    return found


def _contexts(app: FastAPI, route: APIRoute) -> list[RouteContext]:
    return [context for context in iter_route_contexts(app.routes) if context.original_route is route]


def _why_native(contexts: list[RouteContext]) -> str:
    """Say why a route cannot have a twin; empty where it can."""
    if len(contexts) != 1:
        return f"it stands in the application {len(contexts)} times"
    dependant = cast("Dependant", contexts[0].dependant)
    endpoint = dependant.call
    if not dependant.dependencies:
        return "it has no dependencies"
    if not inspect.isfunction(endpoint) or hasattr(endpoint, "__wrapped__"):
        return "its endpoint is decorated, or is no function"
    if inspect.isasyncgenfunction(endpoint) or inspect.isgeneratorfunction(endpoint):
        return "its endpoint is a generator"
    theirs = [name_of(sub.call) for sub in dependant.dependencies if sub.call is not None and not _is_ours(sub)]
    return f"FastAPI must resolve {', '.join(theirs)}" if theirs else ""


def _twin_of(route: APIRoute, request: Request) -> _Twin | None:
    """Make the twin, where there can be one: the route stands there once, and its chain is heykit's alone."""
    app = request.scope.get("app")
    contexts = _contexts(app, route) if isinstance(app, FastAPI) else []
    if _why_native(contexts) or not isinstance(request.scope.get("fastapi_inner_astack"), AsyncExitStack):
        return None
    dependant = cast("Dependant", contexts[0].dependant)
    roots = [(sub.name or "", cast("Provider[object]", sub.call)) for sub in dependant.dependencies]
    plan = plan_of(roots, {}, {})
    endpoint = _resolving(cast("Dependency", dependant.call), plan)
    return _Twin(_made(contexts[0], route, endpoint).get_route_handler(), _chain(roots))


def _is_ours(sub: Dependant) -> bool:
    """Tell whether it is a provider that heykit resolves, asked for in the plain way."""
    provider = sub.call
    if not isinstance(provider, Provider) or not sub.use_cache or sub.own_oauth_scopes or sub.concurrency is not None:
        return False
    return sub.scope is None and (provider.is_long_lived or is_leaf(provider))


def _chain(roots: list[tuple[str, Provider[object]]]) -> frozenset[Dependency]:
    """Name everything beneath: an override of any of it is left to FastAPI."""
    found: set[Dependency] = set()
    waiting: list[Dependency] = [root for _, root in roots]
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            needs = target.needs if isinstance(target, Provider) else needs_of(target)
            waiting.extend(need.dependency for need in needs if need.dependency is not None)
            if isinstance(target, Provider) and target.options.keyed is not None:
                waiting.append(target.options.keyed.by)
    return frozenset(found)


def _made(context: RouteContext, route: APIRoute, endpoint: Dependency) -> APIRoute:
    """The same route, FastAPI's own, without dependencies; overrides are settled before a request comes to it."""
    return APIRoute(
        context.path or "",
        endpoint,
        response_model=context.response_model,
        status_code=context.status_code,
        methods=context.methods,
        response_model_include=context.response_model_include,
        response_model_exclude=context.response_model_exclude,
        response_model_by_alias=context.response_model_by_alias,
        response_model_exclude_unset=context.response_model_exclude_unset,
        response_model_exclude_defaults=context.response_model_exclude_defaults,
        response_model_exclude_none=context.response_model_exclude_none,
        response_class=context.response_class,
        strict_content_type=context.strict_content_type,
        form_limits=route.form_limits,
    )


def _resolving(endpoint: Dependency, plan: Plan) -> Dependency:
    """Wrap an endpoint: its dependencies are opened here, the parameters it parses stay FastAPI's."""
    given = {source.name for source in plan.results}
    kept = [p for p in signature_of(endpoint).parameters.values() if p.name not in given]
    # FastAPI fills one parameter with the request: where the endpoint has it, it is read there.
    named = [p.name for p in kept if isinstance(p.annotation, type) and issubclass(p.annotation, Request)]
    call = _calling(endpoint)

    @functools.wraps(endpoint)
    async def resolving(**values: object) -> object:
        request = values[named[-1]] if named else values.pop(_REQUEST)
        assert isinstance(request, Request)
        request.scope[_ENTERED] = True
        instances = instances_of(request) if plan.asks_application else Instances({})
        found = await resolved(plan, known_to(instances, request), instances, request)
        found.pop("", None)
        return await call(**values, **found)

    if not named:
        kept.append(inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request))
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept]
    cast("Any", resolving).__signature__ = inspect.Signature(parameters)
    return resolving


def _calling(endpoint: Dependency) -> Callable[..., Awaitable[object]]:
    if inspect.iscoroutinefunction(endpoint):
        return endpoint
    return functools.partial(run_in_threadpool, endpoint)
