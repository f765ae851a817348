"""What FastAPI sees of a provider.

Beneath which there are only heykit's things and the connection: one leaf, resolved here. Anything else shows FastAPI
its factory's own parameters, so that order, OpenAPI and 422 bodies are FastAPI's own by construction.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final, Literal, cast

from fastapi import Depends, params
from fastapi.requests import HTTPConnection

from heykit._instances import STATE_KEY, Instances, Overrides, instances_if_running, instances_of
from heykit._keyed import hold
from heykit._needs import Asks, Dependency, signature_of
from heykit._plan import known_of, plan_of, require_as_started, require_unreplaced, resolved
from heykit._provider import Keyed, Provider, Seen
from heykit._steps import Plan

_CONNECTION: Final = "connection"
_VALUE: Final = "value"
_KEY: Final = "heykit_key"
FUNCTION_STACK: Final = "heykit_function_stack"


def seen(provider: Provider[object]) -> Seen:
    """Choose what FastAPI sees."""
    if provider.is_long_lived:
        return Seen(_long_lived_leaf(provider), _signature(_connection()))
    if is_leaf(provider):
        return _leaf(provider)
    if provider.options.keyed is not None:
        return _kept(provider, provider.options.keyed)
    return _factory(provider)


def is_leaf(provider: Provider[object]) -> bool:
    """Tell whether heykit can resolve all that lies beneath: walked once, however many paths lead there."""
    walked: set[Provider[object]] = set()
    waiting: list[Dependency] = [provider]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, Provider):
            return False
        if current in walked or current.is_long_lived:
            continue
        walked.add(current)
        if current.options.keyed is not None:
            waiting.append(current.options.keyed.by)
            continue
        for need in current.needs:
            if need.asks in {Asks.REQUEST, Asks.DEFAULT} or isinstance(need.marker, params.Security):
                return False
            if need.dependency is not None:
                waiting.append(need.dependency)
    return True


def _long_lived_leaf(provider: Provider[object]) -> Callable[..., object]:
    planned = _planned(provider)

    async def long_lived(connection: HTTPConnection) -> object:
        # FastAPI asks for each of them in each request: the usual case comes first, and calls nothing.
        scope = connection.scope
        try:
            instances: Instances = scope["state"][STATE_KEY]
            if not scope["app"].dependency_overrides and not instances.overrides:
                return instances.values[provider]
        except (KeyError, AttributeError):
            instances = instances_of(connection)
        overrides = _overrides(connection)
        if overrides or instances.overrides:
            planned(overrides, instances.overrides)  # refuses half a fake
        return await instances.obtain(provider)

    return long_lived


def _leaf(provider: Provider[object]) -> Seen:
    return Seen(functools.partial(_resolve, _planned(provider)), _signature(_connection()))


Planned = Callable[[Overrides, Overrides], Plan]


def _planned(provider: Provider[object]) -> Planned:
    """Remember the plan for the overrides last seen: in service there are none, in a test they seldom change."""
    last: tuple[Overrides, Overrides, Plan] | None = None

    def planned(overrides: Overrides, started_with: Overrides) -> Plan:
        nonlocal last
        if last is None or last[0] != overrides or last[1] != started_with:
            plan = plan_of([(_VALUE, provider)], overrides, started_with)
            require_unreplaced(plan, overrides, started_with)
            last = (dict(overrides), started_with, plan)
        return last[2]

    return planned


async def _resolve(planned: Planned, connection: HTTPConnection) -> object:
    overrides = _overrides(connection)
    running = instances_if_running(connection)
    plan = planned(overrides, overrides if running is None else running.overrides)
    if running is None:
        running = instances_of(connection) if plan.asks_application else Instances(overrides)
    found = await resolved(plan, known_of(connection, running), running, connection)
    return found[_VALUE]


def _overrides(connection: HTTPConnection) -> Overrides:
    found: Overrides = getattr(connection.scope.get("app"), "dependency_overrides", {})
    return found


def _factory(provider: Provider[object]) -> Seen:
    """FastAPI resolves what lies beneath; the closing time stays the provider's."""
    shown = signature_of(provider.factory)
    unknown = {need.name for need in provider.needs if need.asks in {Asks.NOTHING, Asks.FIXED}}
    parameters = [p for p in shown.parameters.values() if p.name not in unknown]
    if not provider.closes:
        return Seen(_awaiting(provider), _signature(*parameters))
    if provider.lifetime == "request":
        return Seen(_generating(provider), _signature(*parameters))
    # A stack of its own, opened last: what closes there closes before all that lies beneath.
    hidden = _hidden(FUNCTION_STACK, "function")
    return Seen(_on_own_stack(provider), _signature(*parameters, hidden))


def _awaiting(provider: Provider[object]) -> Callable[..., object]:
    if inspect.isfunction(provider.factory):
        return provider.factory

    async def awaiting(**arguments: object) -> object:
        return await cast("Callable[..., Awaitable[object]]", provider.factory)(**arguments)

    return awaiting


def _kept(provider: Provider[object], keyed: Keyed) -> Seen:
    """Kept by the value of something FastAPI must resolve: it gives us the key."""

    async def kept(connection: HTTPConnection, heykit_key: object) -> AsyncGenerator[object]:
        instances = instances_of(connection)
        overrides = _overrides(connection)
        if overrides != instances.overrides:
            require_as_started(provider, overrides, instances.overrides)
        async with AsyncExitStack() as stack:
            yield await hold(instances, provider, heykit_key, stack)

    key = inspect.Parameter(_KEY, inspect.Parameter.KEYWORD_ONLY, default=Depends(keyed.by))
    return Seen(kept, _signature(_connection(), key))


def _generating(provider: Provider[object]) -> Callable[..., AsyncGenerator[object]]:
    async def generating(**arguments: object) -> AsyncGenerator[object]:
        async with AsyncExitStack() as stack:
            yield await provider.enter(arguments, stack)

    return generating


def _on_own_stack(provider: Provider[object]) -> Callable[..., Awaitable[object]]:
    async def on_own_stack(*, heykit_function_stack: AsyncExitStack, **arguments: object) -> object:
        return await provider.enter(arguments, heykit_function_stack)

    return on_own_stack


def _connection() -> inspect.Parameter:
    return inspect.Parameter(_CONNECTION, inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)


def _hidden(name: str, scope: Literal["function", "request"]) -> inspect.Parameter:
    """A parameter that FastAPI fills with an open stack, which it closes in that scope."""

    async def stack() -> AsyncGenerator[AsyncExitStack]:
        async with AsyncExitStack() as opened:
            yield opened

    # One for each call: what is opened for other scopes of a `Security` is another instance, and closes by itself.
    marker = Depends(stack, scope=scope, use_cache=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=marker, annotation=AsyncExitStack)


def _signature(*parameters: inspect.Parameter) -> inspect.Signature:
    """All by keyword: FastAPI passes them so, and a hidden one may then stand behind any other."""
    named: Iterable[inspect.Parameter] = (p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters)
    return inspect.Signature(list(named))
