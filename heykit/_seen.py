"""What FastAPI sees of a provider.

Beneath which there are only heykit's things and the connection: one leaf, resolved here. Anything else shows FastAPI
its factory's own parameters, so that order, OpenAPI and 422 bodies are FastAPI's own by construction.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack
from typing import Final, cast

from fastapi import Depends, params
from fastapi.requests import HTTPConnection

from heykit._instances import STATE_KEY, Instances, Overrides, instances_if_running, instances_of
from heykit._keyed import hold
from heykit._needs import Asks, Dependency, signature_of
from heykit._plan import closers_of, known_of, plan_of, require_as_started, require_unreplaced, resolved
from heykit._provider import Keyed, Provider, Seen
from heykit._steps import Plan

_CONNECTION: Final = "connection"
_VALUE: Final = "value"
_KEY: Final = "heykit_key"
HIDDEN_CONNECTION: Final = "heykit_connection"
"""The parameter by which FastAPI tells a provider where its stacks are, and which its factory does not have."""


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
    # FastAPI fills one parameter with the connection: where the factory has it, it is read there.
    own = next((need.name for need in provider.needs if need.asks is Asks.CONNECTION), None)
    if own is None:
        parameters.append(_connection(HIDDEN_CONNECTION))
    return Seen(_on_function_stack(provider, own), _signature(*parameters))


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


def _on_function_stack(provider: Provider[object], own: str | None) -> Callable[..., Awaitable[object]]:
    """Open it where FastAPI closes before the response leaves; `own` is the factory's parameter for the connection."""

    async def on_function_stack(**arguments: object) -> object:
        connection = arguments.pop(HIDDEN_CONNECTION) if own is None else arguments[own]
        _, early = closers_of(cast("HTTPConnection", connection))
        if provider.generate is not None:
            return await early.opened(provider.generate(**arguments))
        return await provider.enter(arguments, early.entering())

    return on_function_stack


def _connection(name: str = _CONNECTION) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)


def _signature(*parameters: inspect.Parameter) -> inspect.Signature:
    """All by keyword: FastAPI passes them so, and a hidden one may then stand behind any other."""
    named: Iterable[inspect.Parameter] = (p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters)
    return inspect.Signature(list(named))
