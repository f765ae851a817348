"""The lifespan of an application: opens what lives long, side by side, and closes it in reverse order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol, TypeVar, cast

import anyio
from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from heykit import wiring
from heykit._closers import Closers
from heykit._faults import short_roots
from heykit._graph import Graph
from heykit._instances import STATE_KEY, Instance, Instances, Overrides, State, instances_in, instances_of
from heykit._keyed import end as end_kept
from heykit._needs import name_of
from heykit._owner import opening
from heykit._plan import follow, known_to, plan_of, require_unreplaced
from heykit._provider import Provider
from heykit._seen import is_leaf
from heykit._standing_in import standing_in
from heykit.errors import Fault, NotOpen, WiringError

__all__ = [
    "Get",
    "Opened",
    "Overrides",
    "ShortLived",
    "end",
    "instances",
    "lifespan",
    "lifespan_with",
    "opened",
    "request_scope",
    "short_lived",
]

T = TypeVar("T")
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[Mapping[str, object]]]
_NOTHING: Final[Overrides] = MappingProxyType({})
_VALUE: Final = "value"


def lifespan(app: FastAPI) -> AbstractAsyncContextManager[Mapping[str, object]]:
    """Open what the application's routes need, for `FastAPI(lifespan=lifespan)` or inside a lifespan of one's own.

    Raises `WiringError` with every fault of the wiring before anything opens, and `StartupError` from the cause where
    something cannot be opened.
    """
    return _lifespan(app, ())


def lifespan_with(*providers: Provider[object]) -> Lifespan:
    """Make a lifespan that also opens what no route names: a worker, what only middleware needs."""
    return _LifespanWith(providers)


@dataclass(frozen=True)
class _LifespanWith:
    heykit_providers: tuple[Provider[object], ...]  # what the command line reads beside the routes

    def __call__(self, app: FastAPI) -> AbstractAsyncContextManager[Mapping[str, object]]:
        return _lifespan(app, self.heykit_providers)


@asynccontextmanager
async def opened(provider: Provider[T], *, overrides: Overrides = _NOTHING) -> AsyncGenerator[T]:
    """Open one provider with all beneath it, outside an application: in a script, a worker, a test.

    Raises what `lifespan` raises, and `NotOpen` where something beneath needs a connection.
    """
    replaced = overrides.get(provider)
    wanted = provider if replaced is None else cast("Provider[T]", standing_in(provider, replaced))
    beneath = {key: value for key, value in overrides.items() if key is not provider}
    graph = wiring.read_with(beneath, wanted)
    _require_sound(graph)
    instances = Instances(beneath)
    async with _opening(graph, instances), _getting(instances, None, beneath) as get:
        yield await get(wanted)


class Get(Protocol):
    """Gives the value of a provider, opened at most once within its scope."""

    async def __call__(self, provider: Provider[T], /) -> T: ...


@asynccontextmanager
async def request_scope(source: FastAPI | HTTPConnection) -> AsyncGenerator[Get]:
    """Open request-scoped instances for work that is no route: background tasks, middleware, workers.

    They are its own, and closed when the block ends. Raises `NotOpen` where the application is not running, or where a
    provider needs what only FastAPI can take from a request.
    """
    if isinstance(source, FastAPI):
        instances, connection, overrides = instances_in(source), None, source.dependency_overrides
    else:
        instances, connection = instances_of(source), source
        overrides = getattr(source.scope.get("app"), "dependency_overrides", {})
    async with _getting(instances, connection, overrides) as get:
        yield get


@asynccontextmanager
async def _getting(
    instances: Instances, connection: HTTPConnection | None, overrides: Overrides
) -> AsyncGenerator[Get]:
    known = known_to(instances, connection)
    fakes: dict[Provider[object], Provider[object]] = {}  # each stands in once, so that it is opened once
    turn = anyio.Lock()

    # The scope is entered before whatever is opened, so that it can shield its closing from an outer cancellation.
    with anyio.CancelScope() as cleanup:
        async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:

            async def get(provider: Provider[T], /) -> T:
                if cleanup.shield:
                    raise NotOpen(f"{provider.__name__} was asked for after its block had ended")
                replaced = overrides.get(provider)
                if provider.is_long_lived and replaced is instances.overrides.get(provider):
                    return cast("T", await instances.obtain(provider))
                if replaced is not None and provider not in fakes:
                    fakes[provider] = standing_in(provider, replaced)
                wanted = fakes.get(provider, provider)
                if not is_leaf(wanted):
                    raise NotOpen(f"{wanted.__name__} needs what only FastAPI can take from a request: not here")
                plan = plan_of([(_VALUE, wanted)], overrides, instances.overrides)
                require_unreplaced(plan, overrides, instances.overrides)
                late, early = Closers(request_stack), Closers(function_stack)
                async with turn:  # whoever asks meanwhile finds it open
                    found = await follow(plan, known, instances, late=late, early=early)
                return cast("T", found[_VALUE])

            try:
                yield get
            finally:
                cleanup.shield = True


async def end(source: FastAPI | HTTPConnection, by: Callable[..., object], value: object) -> None:
    """Close what `scope.keyed` and `scope.session` keep for a value of `by`: a session that was revoked, a tenant gone.

    What a request still holds is closed when that request ends; whoever asks from now on gets another.
    """
    instances = instances_in(source) if isinstance(source, FastAPI) else instances_of(source)
    await end_kept(instances, by, value)


@asynccontextmanager
async def _lifespan(app: FastAPI, providers: tuple[Provider[object], ...]) -> AsyncGenerator[Mapping[str, object]]:
    graph = wiring.read(app, *providers)
    _require_sound(graph, *short_roots(providers))
    running = anyio.get_current_task().id
    # Entered twice, by the application and by a router it includes, the second adds what is its own.
    before = cast("Instances | None", getattr(app.state, STATE_KEY, None))
    if before is not None and before.running_in == running and not before.over:
        async with _opening(graph, before):
            yield {STATE_KEY: before}
        return
    instances = Instances(wiring.overrides_of(app))
    instances.running_in = running
    try:
        async with _opening(graph, instances):
            with _published(instances, wiring.mounted(app)):
                yield {STATE_KEY: instances}
    finally:
        instances.over = True


@contextmanager
def _published(instances: Instances, applications: Sequence[FastAPI]) -> Generator[None]:
    """Put them where requests find them whose server does not hand the lifespan's state on."""
    before = [getattr(app.state, STATE_KEY, None) for app in applications]
    for app in applications:
        setattr(app.state, STATE_KEY, instances)
    try:
        yield
    finally:
        for app, previous in zip(applications, before, strict=True):
            if getattr(app.state, STATE_KEY, None) is instances:
                setattr(app.state, STATE_KEY, None if previous is None or previous.over else previous)


def _opening(graph: Graph, instances: Instances) -> AbstractAsyncContextManager[None]:
    found = graph.long_lived()
    for provider in graph.providers():
        if not provider.is_long_lived:
            instances.short_lived[provider] = provider.lifetime
    held = [
        Instance(target, opening.beneath, scope=_scope_of(target), shared=opening.shared)
        for target, opening in found.items()
    ]
    eager = {target for target, opening in found.items() if opening.eager}
    return opening(held, eager, {target for target, opening in found.items() if opening.critical}, instances)


def _scope_of(target: Callable[..., object]) -> str:
    return target.lifetime if isinstance(target, Provider) else "application"


def _require_sound(graph: Graph, *more: Fault) -> None:
    faults = [*more, *wiring.check(graph)]
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
    """Name what the application holds open, in order of declaration; the name is the provider's function name.

    Where several functions have one name, their modules stand before it, and after that their number.
    """
    held = list(instances_of(connection))
    names = _unique([instance.target for instance in held])
    return {name: _shown(name, instance) for name, instance in zip(names, held, strict=True)}


@dataclass(frozen=True)
class ShortLived:
    """A provider whose instances requests open. `open`: how many are kept by key just now, None where none is kept."""

    name: str
    scope: str
    open: int | None


def short_lived(connection: HTTPConnection) -> Mapping[str, ShortLived]:
    """Name the providers that requests open; none has the name of something that the application holds."""
    running = instances_of(connection)
    held = [instance.target for instance in running]
    names = _unique([*held, *running.short_lived])[len(held) :]
    found = zip(names, running.short_lived.items(), strict=True)
    return {name: ShortLived(name, lifetime, _kept(running, target)) for name, (target, lifetime) in found}


def _kept(running: Instances, target: Callable[..., object]) -> int | None:
    if not isinstance(target, Provider) or target.options.keyed is None:
        return None
    pool = running.pools.get(target)
    return 0 if pool is None else len(pool)


def _unique(targets: Sequence[Callable[..., object]]) -> list[str]:
    names = [name_of(target) for target in targets]
    qualified = [
        name if names.count(name) == 1 else f"{getattr(target, '__module__', '')}.{name}"
        for name, target in zip(names, targets, strict=True)
    ]
    return [
        name if qualified.count(name) == 1 else f"{name}#{qualified[: at + 1].count(name)}"
        for at, name in enumerate(qualified)
    ]


def _shown(name: str, instance: Instance) -> Opened:
    error = None if instance.error is None else f"{type(instance.error).__name__}: {instance.error}"
    value = instance.value if instance.serves else None
    return Opened(name, instance.scope, instance.state, value, instance.open_seconds, error)
