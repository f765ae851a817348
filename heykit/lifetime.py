"""The lifespan of an application: opens what lives long, side by side, and closes it in reverse order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeVar, cast

from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from heykit import wiring
from heykit._graph import Graph
from heykit._instances import STATE_KEY, Instance, Instances, Overrides, State, instances_of
from heykit._needs import name_of
from heykit._owner import opening
from heykit._plan import follow, plan_of
from heykit._provider import Provider
from heykit.errors import WiringError

__all__ = ["Opened", "Overrides", "instances", "lifespan", "lifespan_with", "opened", "short_lived"]

T = TypeVar("T")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, object]]]
_NOTHING: Final[Overrides] = MappingProxyType({})


def lifespan(app: FastAPI) -> AbstractAsyncContextManager[Mapping[str, object]]:
    """Open what the application's routes need, for `FastAPI(lifespan=lifespan)` or inside a lifespan of one's own.

    Raises `WiringError` with every fault of the wiring before anything opens, and `StartupError` from the cause where
    something cannot be opened.
    """
    return _lifespan(app, ())


def lifespan_with(*providers: Provider[object]) -> Lifespan:
    """Make a lifespan that also opens what no route names: a worker, what only middleware needs."""

    def lifespan(app: FastAPI) -> AbstractAsyncContextManager[Mapping[str, object]]:
        return _lifespan(app, providers)

    return lifespan


@asynccontextmanager
async def opened(provider: Provider[T], *, overrides: Overrides = _NOTHING) -> AsyncGenerator[T]:
    """Open one provider with all beneath it, outside an application: in a script, a worker, a test.

    Raises what `lifespan` raises, and `NotOpen` where something beneath needs a connection.
    """
    graph = wiring.read_with(overrides, provider)
    _require_sound(graph)
    instances = Instances(overrides)
    async with opening(list(graph.long_lived().items()), instances):
        if provider.lifetime == "application":
            yield cast("T", instances.value(provider))
            return
        async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
            plan = plan_of([(provider.__name__, provider)], overrides, overrides)
            stacks = {"request_stack": request_stack, "function_stack": function_stack}
            found = await follow(plan, {}, instances, None, **stacks)
            yield cast("T", found[provider.__name__])


@asynccontextmanager
async def _lifespan(app: FastAPI, providers: tuple[Provider[object], ...]) -> AsyncGenerator[Mapping[str, object]]:
    graph = wiring.read(app, *providers)
    _require_sound(graph)
    # Entered twice, by the application and by a router it includes, the second adds what is its own.
    entered = getattr(app.state, STATE_KEY, None)
    instances = Instances(wiring.overrides_of(app)) if entered is None else cast("Instances", entered)
    published = [] if entered is not None else wiring.mounted(app)
    instances.short_lived |= {name_of(p): p.lifetime for p in graph.providers() if p.lifetime != "application"}
    async with opening(list(graph.long_lived().items()), instances):
        for part in published:
            setattr(part.state, STATE_KEY, instances)
        try:
            yield {STATE_KEY: instances}
        finally:
            for part in published:
                delattr(part.state, STATE_KEY)


def _require_sound(graph: Graph) -> None:
    faults = wiring.check(graph)
    if faults:
        raise WiringError(faults)


@dataclass(frozen=True)
class Opened:
    """One long-lived thing of an application, as health shows it. `error` is its type and text, if it has failed."""

    name: str
    scope: str
    state: State
    value: object | None
    open_seconds: float
    error: str | None


def instances(connection: HTTPConnection) -> Mapping[str, Opened]:
    """Name what the application holds open, in order of opening; the name is the provider's function name.

    Where two functions have one name, their modules stand before it.
    """
    held = list(instances_of(connection))
    plain = [instance.name for instance in held]
    return {_unique(instance, plain): _shown(instance) for instance in held}


def short_lived(connection: HTTPConnection) -> Mapping[str, str]:
    """Name the providers that are opened per request, with their scope."""
    return dict(instances_of(connection).short_lived)


def _unique(instance: Instance, names: list[str]) -> str:
    if names.count(instance.name) == 1:
        return instance.name
    return f"{getattr(instance.target, '__module__', '')}.{instance.name}"


def _shown(instance: Instance) -> Opened:
    error = None if instance.error is None else f"{type(instance.error).__name__}: {instance.error}"
    value = instance.value if instance.serves else None
    return Opened(instance.name, "application", instance.state, value, instance.open_seconds, error)
