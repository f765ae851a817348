"""How one request's instances are opened: straight down a list, each once, in FastAPI's order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, cast

from anyio import CancelScope
from fastapi.requests import HTTPConnection

from heykit._cancellation import cleanup_scope, nobodys_scope
from heykit._closers import Closers
from heykit._instances import Instances, Overrides
from heykit._keyed import hold
from heykit._needs import PLACE, Asks, Dependency, name_of, needs_of
from heykit._provider import Arguments, Enter, Lifetime, Provider, closes, entering, is_sync_generator
from heykit._steps import (
    CONNECTION,
    INSTANCES,
    Known,
    Plan,
    Source,
    Special,
    Step,
    step_of,
    takes_in_order,
)
from heykit.errors import HeykitError, NotOpen, OverrideError

_KNOWN_KEY: Final = "heykit.known"
_KEY: Final = "key"
_HELD: Final = "instances"


_SCOPES_KEY: Final = "fastapi_async_cleanup_scopes"
_NOWHERE: Final = Closers(AsyncExitStack())  # of a plan that leaves nothing open


def plan_of(roots: Sequence[tuple[str, Provider[object]]], overrides: Overrides, started_with: Overrides) -> Plan:
    """Lay the steps beneath named providers out: depth first, each once, as FastAPI would come to them.

    `started_with` are the overrides the application was opened with. One set since then serves each request anew.
    Raises `OverrideError` for an override that needs what only FastAPI can parse.
    """
    # What stands in for a root itself is FastAPI's affair: it calls the override, not us.
    own = {root for _, root in roots}
    replaced = {key: value for key, value in overrides.items() if key not in own}
    results = [_source(name, root, root.lifetime, replaced, started_with) for name, root in roots]
    steps: dict[Dependency, Step] = {}
    entered: set[Dependency] = set()
    waiting = _steps_of(results)
    while waiting:
        target, lifetime, walked = waiting.pop()
        wanted = _wanted(roots, target)
        found = [_source(name, needed, lifetime, replaced, started_with) for name, needed in wanted]
        if walked:
            steps[target] = _step(target, tuple(source for source, _ in found), lifetime)
        elif target not in entered:
            entered.add(target)
            waiting.append((target, lifetime, True))
            waiting.extend(_steps_of(found))
    return Plan(tuple(steps.values()), tuple(source for source, _ in results))


def require_unreplaced(plan: Plan, overrides: Overrides, started_with: Overrides) -> None:
    """Refuse what is open and was built on something overridden since: half a fake is worse than none."""
    if overrides == started_with:
        return
    opened = [step.key for step in plan.steps if isinstance(step.key, Provider)]
    kept: list[Dependency] = [provider for provider in opened if provider.options.keyed is not None]
    for wanted in [*kept, *(source.application for source in plan.sources if source.application is not None)]:
        require_as_started(wanted, overrides, started_with)


def require_as_started(wanted: Dependency, overrides: Overrides, started_with: Overrides) -> None:
    seen: set[Dependency] = set()
    waiting = [started_with.get(wanted, wanted)]
    while waiting:
        built = waiting.pop()
        if built in seen:
            continue
        seen.add(built)
        for need in built.needs if isinstance(built, Provider) else needs_of(built):
            if need.dependency is None:
                continue
            then, now = (known.get(need.dependency, need.dependency) for known in (started_with, overrides))
            if then is not now:
                raise OverrideError(
                    f"{name_of(wanted)} is open and was built on {name_of(then)}, where {name_of(now)} is to stand "
                    f"since: set overrides before the application starts, or override {name_of(wanted)} too"
                )
            waiting.append(then)


def _steps_of(found: Sequence[tuple[Source, Lifetime]]) -> list[tuple[Dependency, Lifetime, bool]]:
    """Name those that must be opened, the first one last: they are taken from the end."""
    return [
        (cast("Dependency", source.key), lifetime, False)
        for source, lifetime in reversed(found)
        if source.application is None and not isinstance(source.key, Special)
    ]


def _source(
    name: str, wanted: Dependency | None, above: Lifetime, replaced: Overrides, started_with: Overrides
) -> tuple[Source, Lifetime]:
    if wanted is None:
        return Source(name, CONNECTION), above
    target = replaced.get(wanted, wanted)
    lifetime = above
    for dependency in (target, wanted):
        if isinstance(dependency, Provider):
            lifetime = dependency.lifetime
            break
    as_started = target is started_with.get(wanted, wanted)
    if lifetime in {"application", "singleton"} and (as_started or isinstance(target, Provider)):
        return Source(name, target, application=wanted if as_started else target), lifetime
    return Source(name, target), lifetime


def _step(target: Dependency, sources: tuple[Source, ...], lifetime: Lifetime) -> Step:
    if isinstance(target, Provider) and target.options.keyed is not None:
        # Giving it back waits for nothing.
        return step_of(target, (*sources, Source(_HELD, INSTANCES)), _holding(target), closes=True, shielded=False)
    early = lifetime == "function"
    if isinstance(target, Provider):
        return step_of_factory(target, target, sources, early=early)
    # FastAPI leaves sync generators to their thread.
    shielded = not is_sync_generator(target)
    return step_of(target, sources, entering(target), early=early, closes=closes(target), shielded=shielded)


def step_of_factory(key: object, provider: Provider[object], sources: tuple[Source, ...], *, early: bool) -> Step:
    """Make the step that opens a provider with its own factory."""
    call = generate = None
    if takes_in_order(provider.factory, sources):
        call, generate = provider.call, provider.generate
    shielded = not is_sync_generator(getattr(provider.factory, PLACE, provider.factory))  # what stands in for it, too
    return step_of(key, sources, provider.enter, call, generate, early=early, closes=provider.closes, shielded=shielded)


def _holding(provider: Provider[object]) -> Enter:
    async def enter(arguments: Arguments, stack: AsyncExitStack) -> object:
        return await hold(cast("Instances", arguments[_HELD]), provider, arguments[_KEY], stack)

    return enter


def _wanted(roots: Sequence[tuple[str, Provider[object]]], target: Dependency) -> list[tuple[str, Dependency | None]]:
    """Name what a step needs; without a dependency it is the connection. What no dependency gives has its default."""
    if isinstance(target, Provider) and target.options.keyed is not None:
        return [(_KEY, target.options.keyed.by)]
    needs = target.needs if isinstance(target, Provider) else needs_of(target)
    for need in needs:
        if need.asks is Asks.REQUEST:
            above = " or ".join(root.__name__ for _, root in roots)
            raise OverrideError(
                f"{name_of(target)} stands in for a provider beneath {above} and needs {need.asks.value} "
                f"for its parameter {need.name!r}, which cannot be given there: override {above} instead"
            )
    asked = {Asks.DEPENDENCY, Asks.CONNECTION}
    return [(need.name, need.dependency) for need in needs if need.asks in asked]


async def follow(
    plan: Plan,
    known: Known,
    instances: Instances,
    *,
    late: Closers,
    early: Closers,
) -> dict[str, object]:
    """Open what of the plan is not known yet, and give the results.

    What closes with the request goes to `late`, what closes before the response leaves to `early`. What the application
    opens later, or cannot open, is asked for in its turn: which error comes first is FastAPI's.
    """
    for key, take, call, step in plan.rows:
        if key in known:
            continue
        try:
            arguments = take(known)
        except KeyError:
            arguments = await _obtained(step.sources, known, instances)
        if call is not None:
            known[key] = await call(*arguments)
            continue
        known[key] = await step.opened(arguments, early if step.early else late)
    try:
        return {source.name: known[source.key] for source in plan.results}
    except KeyError:
        found = await _obtained(plan.results, known, instances)
        return {source.name: value for source, value in zip(plan.results, found, strict=True)}


async def resolved(plan: Plan, known: Known, instances: Instances, connection: HTTPConnection) -> dict[str, object]:
    """Open a plan within a request: what closes goes on FastAPI's own stacks, so it closes where FastAPI's does.

    Raises `HeykitError` as `stacks_of` does.
    """
    if not plan.closes:
        return await follow(plan, known, instances, late=_NOWHERE, early=_NOWHERE)
    late, early = closers_of(connection)
    return await follow(plan, known, instances, late=late, early=early)


def closers_of(connection: HTTPConnection) -> tuple[Closers, Closers]:
    """Give what puts things on FastAPI's own stacks; raises as `stacks_of` does.

    One scope shields all clean-up of a request, whoever comes first, FastAPI or we: it is entered before whatever is
    opened, so that scopes which those hold are left in their order.
    """
    late, early = stacks_of(connection)
    scopes: dict[AsyncExitStack, CancelScope] = connection.scope.setdefault(_SCOPES_KEY, {})
    known = scopes.get(late)
    cleanup = cleanup_scope() if known is None else known
    if known is None and cleanup is not None:
        late.enter_context(cleanup)
    elif cleanup is None or cleanup is nobodys_scope():
        # FastAPI would enter one of its own, perhaps within a scope that something holds by then.
        cleanup = None
    if known is None:
        scopes[late] = nobodys_scope() if cleanup is None else cleanup
    return Closers(late, cleanup), Closers(early, cleanup)


def stacks_of(connection: HTTPConnection) -> tuple[AsyncExitStack, AsyncExitStack]:
    """Give FastAPI's own stacks: closed with the request, and before the response leaves.

    Raises `HeykitError` where this FastAPI keeps none in the connection's scope.
    """
    scope = connection.scope
    try:
        return scope["fastapi_inner_astack"], scope["fastapi_function_astack"]
    except KeyError:
        raise HeykitError(
            "this version of FastAPI keeps its stacks elsewhere: install the one heykit was made for"
        ) from None


async def _obtained(sources: Sequence[Source], known: Known, instances: Instances) -> tuple[object, ...]:
    found: list[object] = []
    for source in sources:
        if source.key not in known and source.application is not None:
            known[source.key] = await instances.obtain(source.application)
        elif source.key not in known:
            raise NotOpen(f"{cast('Special', source.key).name} is needed here, and outside a request there is none")
        found.append(known[source.key])
    return tuple(found)


def known_to(instances: Instances, connection: HTTPConnection | None) -> Known:
    """Give what is known before anything is opened: what the application holds, and what no dependency gives."""
    known: Known = {**instances.values}
    known[INSTANCES] = instances
    if connection is not None:
        known[CONNECTION] = connection
    return known


def known_of(connection: HTTPConnection, instances: Instances) -> Known:
    """Give what this run of the request has opened so far: one instance a request, however it is reached.

    A middleware may run the application again on the same scope; what the first run opened is closed by then.
    """
    run = connection.scope.get("fastapi_inner_astack")
    found = cast("tuple[object, Known] | None", connection.scope.get(_KNOWN_KEY))
    if found is None or found[0] is not run:
        found = (run, known_to(instances, connection))
        connection.scope[_KNOWN_KEY] = found
    return found[1]
