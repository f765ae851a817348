"""How one request's instances are opened: straight down a list, each once, in FastAPI's order."""

from __future__ import annotations

import functools
from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeAlias, cast

from fastapi.requests import HTTPConnection

from heykit._instances import Instances, Overrides
from heykit._keyed import hold
from heykit._needs import Asks, Dependency, name_of, needs_of
from heykit._provider import Arguments, Enter, Lifetime, Provider, closes, entering
from heykit.errors import NotOpen, OverrideError

Memo: TypeAlias = MutableMapping[Dependency, object]

_MEMO_KEY = "heykit.memo"
_KEY = "key"
_INSTANCES = "instances"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an argument comes from: an earlier step, the application, or (neither) the connection.

    `instances`: the application's instances themselves.
    """

    name: str
    step: Dependency | None = None
    application: Dependency | None = None
    instances: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Open one instance. Closing time belongs to the provider: `function` before the response leaves, else after."""

    key: Dependency
    enter: Enter
    sources: tuple[Source, ...]
    lifetime: Lifetime
    closes: bool


@dataclass(frozen=True)
class Plan:
    """The steps beneath some providers, in order, and where the value of each is found."""

    steps: tuple[Step, ...]
    results: tuple[Source, ...]

    @property
    def sources(self) -> list[Source]:
        return [*self.results, *(source for step in self.steps for source in step.sources)]

    @functools.cached_property
    def asks_application(self) -> bool:
        """Whether anything of it lives as long as the application, which must then be running."""
        return any(source.instances or source.application is not None for source in self.sources)

    @property
    def closes_with_request(self) -> bool:
        return any(step.closes and step.lifetime != "function" for step in self.steps)

    @property
    def closes_with_function(self) -> bool:
        return any(step.closes and step.lifetime == "function" for step in self.steps)


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
    kept = [step.key for step in plan.steps if _is_kept(step.key)]
    for wanted in [*kept, *(source.application for source in plan.sources if source.application is not None)]:
        _require_unreplaced(wanted, overrides, started_with)


def _is_kept(target: Dependency) -> bool:
    return isinstance(target, Provider) and target.options.keyed is not None


def _require_unreplaced(wanted: Dependency, overrides: Overrides, started_with: Overrides) -> None:
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
    return [(source.step, lifetime, False) for source, lifetime in reversed(found) if source.step is not None]


def _source(
    name: str, wanted: Dependency | None, above: Lifetime, replaced: Overrides, started_with: Overrides
) -> tuple[Source, Lifetime]:
    if wanted is None:
        return Source(name), above
    target = replaced.get(wanted, wanted)
    lifetime = above
    for dependency in (target, wanted):
        if isinstance(dependency, Provider):
            lifetime = dependency.lifetime
            break
    as_started = target is started_with.get(wanted, wanted)
    if lifetime in {"application", "singleton"} and (as_started or isinstance(target, Provider)):
        return Source(name, application=wanted if as_started else target), lifetime
    return Source(name, step=target), lifetime


def _step(target: Dependency, sources: tuple[Source, ...], lifetime: Lifetime) -> Step:
    if isinstance(target, Provider) and target.options.keyed is not None:
        return Step(target, _holding(target), (*sources, Source(_INSTANCES, instances=True)), "request", closes=True)
    enter = target.enter if isinstance(target, Provider) else entering(target)
    return Step(target, enter, sources, lifetime, closes(target))


def _holding(provider: Provider[object]) -> Enter:
    async def enter(arguments: Arguments, stack: AsyncExitStack) -> object:
        return await hold(cast("Instances", arguments[_INSTANCES]), provider, arguments[_KEY], stack)

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
    memo: Memo,
    instances: Instances,
    connection: HTTPConnection | None,
    *,
    request_stack: AsyncExitStack,
    function_stack: AsyncExitStack,
) -> dict[str, object]:
    """Open what of the plan is not open yet; whatever closes goes on the stack of its lifetime. Give the results."""

    async def gathered(sources: tuple[Source, ...]) -> dict[str, object]:
        found: dict[str, object] = {}
        for source in sources:
            if source.step is not None:
                found[source.name] = memo[source.step]
            elif source.application is not None:
                found[source.name] = await instances.obtain(source.application)
            else:
                found[source.name] = instances if source.instances else _required(connection)
        return found

    for step in plan.steps:
        if step.key not in memo:
            stack = function_stack if step.lifetime == "function" else request_stack
            memo[step.key] = await step.enter(await gathered(step.sources), stack)
    return await gathered(plan.results)


def _required(connection: HTTPConnection | None) -> HTTPConnection:
    if connection is None:
        raise NotOpen("a connection is needed here, and outside a request there is none")
    return connection


def memo_of(connection: HTTPConnection) -> Memo:
    """Give what this run of the request has opened so far: one instance a request, however it is reached.

    A middleware may run the application again on the same scope; what the first run opened is closed by then.
    """
    run = connection.scope.get("fastapi_inner_astack")
    found = cast("tuple[object, Memo] | None", connection.scope.get(_MEMO_KEY))
    if found is None or found[0] is not run:
        found = (run, {})
        connection.scope[_MEMO_KEY] = found
    return found[1]
