"""How one request's instances are opened: straight down a list, each once, in FastAPI's order."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeAlias, cast

from fastapi.requests import HTTPConnection

from heykit._instances import Instances, Overrides
from heykit._needs import Asks, Dependency, Need, name_of, needs_of
from heykit._provider import Enter, Lifetime, Provider, closes, entering
from heykit.errors import NotOpen, OverrideError

Memo: TypeAlias = MutableMapping[Dependency, object]

_MEMO_KEY = "heykit.memo"


@dataclass(frozen=True, slots=True)
class Source:
    """Where an argument comes from: an earlier step, the application, or (neither) the connection."""

    name: str
    step: Dependency | None = None
    application: Dependency | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Open one instance. Closing time belongs to the provider: `function` before the response leaves, else after."""

    key: Dependency
    enter: Enter
    sources: tuple[Source, ...]
    lifetime: Lifetime
    closes: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps beneath some providers, in order, and where the value of each is found."""

    steps: tuple[Step, ...]
    results: tuple[Source, ...]

    @property
    def closes_with_request(self) -> bool:
        return any(step.closes and step.lifetime == "request" for step in self.steps)

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
        found = [_argument(need, lifetime, replaced, started_with) for need in _wired(roots, target)]
        if walked:
            steps[target] = _step(target, tuple(source for source, _ in found), lifetime)
        elif target not in entered:
            entered.add(target)
            waiting.append((target, lifetime, True))
            waiting.extend(_steps_of(found))
    return Plan(tuple(steps.values()), tuple(source for source, _ in results))


def _steps_of(found: Sequence[tuple[Source, Lifetime]]) -> list[tuple[Dependency, Lifetime, bool]]:
    return [(source.step, lifetime, False) for source, lifetime in reversed(found) if source.step is not None]


def _source(
    name: str, wanted: Dependency, above: Lifetime, replaced: Overrides, started_with: Overrides
) -> tuple[Source, Lifetime]:
    target = replaced.get(wanted, wanted)
    lifetime = above
    for dependency in (target, wanted):
        if isinstance(dependency, Provider):
            lifetime = dependency.lifetime
            break
    if lifetime == "application" and (isinstance(target, Provider) or target is started_with.get(wanted)):
        return Source(name, application=wanted if target is started_with.get(wanted) else target), lifetime
    return Source(name, step=target), lifetime


def _argument(need: Need, above: Lifetime, replaced: Overrides, started_with: Overrides) -> tuple[Source, Lifetime]:
    if need.dependency is None:
        return Source(need.name), above
    return _source(need.name, need.dependency, above, replaced, started_with)


def _step(target: Dependency, sources: tuple[Source, ...], lifetime: Lifetime) -> Step:
    enter = target.enter if isinstance(target, Provider) else entering(target)
    return Step(target, enter, sources, lifetime, closes(target))


def _wired(roots: Sequence[tuple[str, Provider[object]]], target: Dependency) -> list[Need]:
    """Leave to its default what no dependency gives."""
    needs = target.needs if isinstance(target, Provider) else needs_of(target)
    for need in needs:
        if need.asks is Asks.REQUEST:
            above = " or ".join(root.__name__ for _, root in roots)
            raise OverrideError(
                f"{name_of(target)} stands in for a provider beneath {above} and needs {need.asks.value} "
                f"for its parameter {need.name!r}, which cannot be given there: override {above} instead"
            )
    return [need for need in needs if need.asks in {Asks.DEPENDENCY, Asks.CONNECTION}]


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

    def value(source: Source) -> object:
        if source.step is not None:
            return memo[source.step]
        if source.application is not None:
            return instances.value(source.application)
        if connection is None:
            raise NotOpen("a connection is needed here, and outside a request there is none")
        return connection

    for step in plan.steps:
        if step.key not in memo:
            arguments = {source.name: value(source) for source in step.sources}
            stack = function_stack if step.lifetime == "function" else request_stack
            memo[step.key] = await step.enter(arguments, stack)
    return {source.name: value(source) for source in plan.results}


def memo_of(connection: HTTPConnection) -> Memo:
    """Give what this request has opened so far: one instance a request, however it is reached."""
    return cast("Memo", connection.scope.setdefault(_MEMO_KEY, {}))
