"""The chain of dependencies as a graph: read from applications or providers, checked before anything opens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router

from heykit._drawing import draw
from heykit._faults import faults_of
from heykit._graph import Graph, Use, graph_of
from heykit._instances import Overrides
from heykit._needs import Dependency, needs_of
from heykit._provider import Provider
from heykit.errors import Fault

__all__ = ["Fault", "Graph", "check", "draw", "mounted", "overrides_of", "read", "read_with"]


def read(*roots: FastAPI | Provider[object]) -> Graph:
    """Read what applications (their routes, WebSockets and mounted applications) and providers depend on.

    An application's `dependency_overrides` are honoured at every depth.
    """
    applications = [root for root in roots if isinstance(root, FastAPI)]
    providers = [root for root in roots if isinstance(root, Provider)]
    entries = [use for app in applications for routes, _ in _parts(app) for use in _entries(routes)]
    overrides: dict[Dependency, Dependency] = {}
    for app in applications:
        overrides.update(overrides_of(app))
    return graph_of(entries, providers, overrides)


def read_with(overrides: Overrides, *providers: Provider[object]) -> Graph:
    """Read what providers depend on, outside an application."""
    return graph_of((), providers, overrides)


def check(graph: Graph) -> list[Fault]:
    """Find every fault of a wiring.

    Cycles, captives (a long-lived thing that would hold a short-lived one), parameters nothing provides, annotations
    their factory does not satisfy, and overrides or uses that cannot be honoured.
    """
    return faults_of(graph)


def overrides_of(app: FastAPI) -> Overrides:
    """Gather the overrides of an application and of what is mounted on it; its own come first."""
    gathered: dict[Dependency, Dependency] = {}
    for part in reversed(mounted(app)):
        gathered.update(part.dependency_overrides)
    return gathered


def mounted(app: FastAPI) -> list[FastAPI]:
    """List an application and every FastAPI application mounted on it, at any depth."""
    found = [app]
    for _, inner in _parts(app):
        if isinstance(inner, FastAPI) and inner not in found:
            found.append(inner)
    return found


def _parts(app: FastAPI) -> Iterator[tuple[Sequence[BaseRoute], object]]:
    """Give the routes of an application and of all that is mounted on it, with what they were mounted as."""
    waiting: list[tuple[Sequence[BaseRoute], object]] = [(app.routes, app)]
    seen: set[int] = set()
    while waiting:
        routes, owner = waiting.pop(0)
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        yield routes, owner
        for context in iter_route_contexts(routes):
            route = context.original_route
            if isinstance(route, Mount | Host):
                inner = _unwrapped(route.app)
                waiting.append((getattr(inner, "routes", route.routes), inner))


def _unwrapped(app: object) -> object:
    """Look through middleware, which keeps what it wraps as `app`."""
    while not isinstance(app, Starlette | Router) and hasattr(app, "app"):
        app = app.app
    return app


def _entries(routes: Sequence[BaseRoute]) -> Iterator[Use]:
    for context in iter_route_contexts(routes):
        dependant = cast("Dependant | None", getattr(context, "dependant", None))
        if dependant is None or dependant.call is None:
            continue
        endpoint = cast("Callable[..., object]", dependant.call)
        annotations = {need.name: need.annotation for need in needs_of(endpoint)}
        # What a router, an inclusion or the application adds has no parameter of the endpoint.
        for asked in dependant.dependencies:
            if asked.call is not None:
                yield Use(
                    asked.call,
                    endpoint,
                    asked.name or "",
                    annotations.get(asked.name or ""),
                    asked.use_cache,
                    asked.scope,
                    None if asked.concurrency is None else asked.concurrency.max_concurrency,
                )
