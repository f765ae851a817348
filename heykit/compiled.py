"""Routes whose chain of dependencies is resolved straight down a list, outside FastAPI's recursion.

The registered route stays FastAPI's own, so OpenAPI is the same by construction. Its handler passes a request to a
*twin*: the same route, made once from the effective context (so with the dependencies of every inclusion), whose
endpoint opens the chain itself, in FastAPI's order. What the chain takes from the request FastAPI parses first: where
that fails nothing was opened, and FastAPI itself settles which error comes first. What only FastAPI can do, and a
request whose chain is overridden, is left to it.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

from fastapi import Depends, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import ValidationException
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from heykit._dependants import Chain, Uncompilable, chain_of
from heykit._instances import Instances, Overrides, instances_if_running
from heykit._needs import Dependency, signature_of
from heykit._straight import straight

__all__ = ["CompiledRoute", "compiled", "uncompiled"]

logger = logging.getLogger("heykit.compiled")

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

_REQUEST: Final = "heykit_request"
_READ: Final = "heykit_read"
_PARSED: Final = "heykit_parsed_"
_RUN: Final = "heykit.run"
_NOTHING: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType({})


def compiled(route_class: type[APIRoute]) -> type[APIRoute]:
    """Give `route_class` with compiled resolution, for `APIRouter(route_class=...)` or `app.router.route_class = ...`.

    What the class does around its `super().get_route_handler()` stays around both ways of resolving.
    """
    if issubclass(route_class, _CompiledRoute):
        return route_class
    if issubclass(_CompiledRoute, route_class):
        return _CompiledRoute
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
            run = None if twin is None else twin.begun(request)
            if twin is None or run is None:
                return await native(request)
            try:
                return await twin.handler(request)
            except Exception as error:
                # What fails before the dependencies is the reading of the body, which cannot be read a second time.
                if not run.parsing or run.entered:
                    twin.place(error)
                    raise
            return await native(request)  # outside that handler: its error is no context of what comes now

        return handler


CompiledRoute: type[APIRoute] = _CompiledRoute


class _Run:
    """One request's way through a twin: whether its body has been read, and its chain begun."""

    __slots__ = ("entered", "instances", "parsing")

    def __init__(self, instances: Instances | None, *, parsing: bool) -> None:
        self.parsing = parsing
        self.entered = False
        self.instances = instances


@dataclass(frozen=True)
class _Twin:
    handler: Handler
    endpoint: Dependency
    chain: Chain
    overridden_in: object  # the application whose overrides FastAPI looks at

    def begun(self, request: Request) -> _Run | None:
        """Begin a run, unless the chain is overridden, or was at the start, or needs a lifespan that does not run.

        Nor while FastAPI's telemetry observes the request: it tells of dependencies and of validation by FastAPI.
        """
        scope = request.scope
        if scope.get("fastapi.telemetry") is not None:
            return None
        running = instances_if_running(request)
        if running is None and self.chain.plan.asks_application:
            return None
        mine: Overrides = scope["app"].dependency_overrides
        owners: Overrides = getattr(self.overridden_in, "dependency_overrides", {})
        started: Overrides = {} if running is None else running.overrides
        if mine or owners or started:
            named = self.chain.named
            if not (named.isdisjoint(mine) and named.isdisjoint(owners) and named.isdisjoint(started)):
                return None
        scope[_RUN] = run = _Run(running, parsing=not self.chain.reads_body)
        return run

    def place(self, error: Exception) -> None:
        """Let the error name the user's endpoint, not ours round it."""
        if isinstance(error, ValidationException) and error.endpoint_file is not None:
            error.endpoint_file = inspect.getsourcefile(self.endpoint)


def uncompiled(app: FastAPI) -> dict[str, str]:
    """Name the compiled routes of an application that are left to FastAPI, by path, and say why."""
    found: dict[str, str] = {}
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, _CompiledRoute):
            try:
                _compilable(context)
            except Uncompilable as reason:
                found[context.path or ""] = str(reason)
    return found


def _compilable(context: RouteContext) -> Chain:
    """Lay out what a route depends on; raises `Uncompilable` where FastAPI must resolve it."""
    dependant = cast("Dependant", context.dependant)
    endpoint = dependant.call
    if not dependant.dependencies:
        raise Uncompilable("it has no dependencies")
    if not inspect.isfunction(endpoint) or hasattr(endpoint, "__wrapped__"):
        raise Uncompilable("its endpoint is decorated, or is no function")
    if inspect.isasyncgenfunction(endpoint) or inspect.isgeneratorfunction(endpoint):
        raise Uncompilable("its endpoint is a generator")
    if not inspect.iscoroutinefunction(endpoint):
        raise Uncompilable("its endpoint runs in a thread, and so does the validation of what it returns")
    return chain_of(dependant)


def _twin_of(route: APIRoute, request: Request) -> _Twin | None:
    """Make the twin for the way a request came, where there can be one."""
    context = _context_of(route, request)
    if context is None or not isinstance(request.scope.get("fastapi_inner_astack"), AsyncExitStack):
        return None
    try:
        chain = _compilable(context)
        handler = _made(context, route, _resolving(context.dependant, chain)).get_route_handler()
    except Uncompilable:
        return None
    except Exception:
        logger.exception("%s cannot be compiled, and is left to FastAPI", context.path)
        return None
    endpoint = cast("Dependency", cast("Dependant", context.dependant).call)
    return _Twin(handler, endpoint, chain, context.dependency_overrides_provider)


def _context_of(route: APIRoute, request: Request) -> RouteContext | None:
    """Find the inclusion that FastAPI came through; it makes a handler for each."""
    app = request.scope.get("app")
    contexts = iter_route_contexts(app.routes) if isinstance(app, FastAPI) else ()
    found = [context for context in contexts if context.original_route is route]
    chosen = request.scope.get("fastapi", {}).get("effective_route_context")
    if chosen is not None and chosen.original_route is route:
        found = [context for context in found if context.dependant is chosen.dependant]
    return found[0] if len(found) == 1 else None


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
        operation_id=context.unique_id,
    )


def _resolving(dependant: Dependant, chain: Chain) -> Dependency:
    """Wrap an endpoint: its dependencies are opened here, what it parses itself stays FastAPI's."""
    endpoint = cast("Callable[..., Awaitable[object]]", dependant.call)
    given = {source.name for source in chain.plan.results}
    kept = [p for p in signature_of(endpoint).parameters.values() if p.name not in given]
    # FastAPI fills one parameter with the request: where the endpoint has it, it is read there.
    named = dependant.request_param_name
    parsers = {f"{_PARSED}{number}": parser for number, parser in enumerate(chain.parsers)}
    resolved = straight(
        chain.plan,
        {name: [(one, (parser.call, one)) for one in parser.names] for name, parser in parsers.items()},
    )
    nothing_open = Instances({})

    @functools.wraps(endpoint)
    async def resolving(**values: object) -> object:
        request = values.pop(_REQUEST) if named is None else values[named]
        assert isinstance(request, Request)
        values.pop(_READ, None)
        parsed = {name: cast("Mapping[str, object]", values.pop(name)) for name in parsers} if parsers else _NOTHING
        run: _Run = request.scope[_RUN]
        run.entered = True
        await resolved.run(request, nothing_open if run.instances is None else run.instances, values, parsed)
        return await endpoint(**values)

    added = {name: Depends(parser.parse) for name, parser in parsers.items()}
    if chain.reads_body:
        added = {_READ: Depends(_body_is_read), **added}
    if named is None:
        kept.append(inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request))
    kept += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=marker) for name, marker in added.items()]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in kept]
    cast("Any", resolving).__signature__ = inspect.Signature(parameters)
    return resolving


async def _body_is_read(connection: HTTPConnection) -> None:
    """The first dependency of a twin: FastAPI comes to it when it has read the body."""
    run: _Run = connection.scope[_RUN]
    run.parsing = True
