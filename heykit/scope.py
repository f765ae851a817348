"""Lifetimes as decorators.

A factory is a coroutine function, an async generator function, or a function that returns an async context manager
(which is entered); its parameters are its dependencies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from typing import Never, Protocol, TypeVar, cast, overload

from fastapi import Depends

from heykit._needs import Dependency
from heykit._provider import Keyed, Lifetime, Options, Provider
from heykit._seen import seen
from heykit.resilience import Retry

__all__ = [
    "Declare",
    "DeclareLike",
    "DeclareLong",
    "Provider",
    "application",
    "function",
    "keyed",
    "provided",
    "request",
    "session",
    "singleton",
]

T = TypeVar("T")


class Declare(Protocol):
    """Makes a provider of a factory."""

    @overload
    def __call__(self, factory: Callable[..., AsyncIterator[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., Awaitable[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., AbstractAsyncContextManager[T]], /) -> Provider[T]: ...


class DeclareLike(Protocol[T]):
    """With a fallback: the factory must give what the fallback gives."""

    def __call__(
        self, factory: Callable[..., AsyncIterator[T] | Awaitable[T] | AbstractAsyncContextManager[T]], /
    ) -> Provider[T]: ...


class DeclareLong(Protocol):
    """A long lifetime, bare or with options.

    `timeout`: seconds an instance may take to open, and to close. `lazy`: opened when somebody first needs it. `retry`:
    how often to try to open it, within the timeout. `fallback`: what serves where it cannot open, while it is tried
    again in the background.
    """

    @overload
    def __call__(self, factory: Callable[..., AsyncIterator[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., Awaitable[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., AbstractAsyncContextManager[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, /, *, lazy: bool = False, timeout: float = 30.0, retry: Retry | None = None) -> Declare: ...
    @overload
    def __call__(
        self, /, *, fallback: Provider[T], lazy: bool = False, timeout: float = 30.0, retry: Retry | None = None
    ) -> DeclareLike[T]: ...


def _declare(lifetime: Lifetime) -> Declare:
    def declare(factory: Dependency, /) -> Provider[object]:
        return Provider(factory, lifetime, Options(), seen)

    return cast("Declare", declare)


def _declare_long(lifetime: Lifetime) -> DeclareLong:
    def declare(
        factory: Dependency | None = None,
        /,
        *,
        lazy: bool = False,
        timeout: float = 30.0,
        retry: Retry | None = None,
        fallback: Provider[object] | None = None,
    ) -> object:
        options = Options(timeout, lazy, retry, fallback)

        def with_options(factory: Dependency, /) -> Provider[object]:
            return Provider(factory, lifetime, options, seen)

        return with_options if factory is None else with_options(factory)

    return cast("DeclareLong", declare)


application: DeclareLong = _declare_long("application")
"""One instance an application, opened by its lifespan."""

singleton: DeclareLong = _declare_long("singleton")
"""One instance an event loop, shared by every application in it: opened by the first, closed after the last."""

request: Declare = _declare("request")
"""One instance a request, closed after the response is sent."""

function: Declare = _declare("function")
"""One instance a request, closed before the response leaves: a transaction commits before the client hears of it."""


def keyed(*, by: Callable[..., object], idle: float = 300.0, limit: int = 1000, timeout: float = 30.0) -> Declare:
    """Declare one instance per value of `by`, another dependency: a tenant's pool is keyed by the tenant.

    It is opened at the first use and closed after `idle` seconds without a holder; where there are `limit` of them, the
    one that was idle longest makes room. Its factory may take what lives longer, `by` itself, and what is kept by it.
    """
    return _declare_kept("keyed", Keyed(by, idle, limit), timeout)


def session(*, by: Callable[..., object], idle: float = 1800.0, limit: int = 10_000, timeout: float = 30.0) -> Declare:
    """Declare one instance per user session: `keyed` with the defaults of one, answered by 401 where `by` gives None.

    `heykit.lifetime.end(app, by, value)` closes a session's instances when it is revoked.
    """
    return _declare_kept("session", Keyed(by, idle, limit), timeout)


def _declare_kept(lifetime: Lifetime, kept: Keyed, timeout: float) -> Declare:
    if not kept.idle >= 0 or kept.limit < 1:
        raise ValueError("idle= is 0 seconds or more, and limit= 1 or more")

    def declare(factory: Dependency, /) -> Provider[object]:
        return Provider(factory, lifetime, Options(timeout, keyed=kept), seen)

    return cast("Declare", declare)


@overload
def provided(dependency: Provider[T]) -> T: ...
@overload
def provided(dependency: type[T]) -> T: ...
@overload
def provided(dependency: Callable[..., AsyncIterator[T]]) -> T: ...
@overload
def provided(dependency: Callable[..., Generator[T, Never, object]]) -> T: ...
@overload
def provided(dependency: Callable[..., Awaitable[T]]) -> T: ...
@overload
def provided(dependency: Callable[..., T]) -> T: ...
def provided(dependency: Callable[..., object]) -> object:
    """Declare a parameter's value as FastAPI's `Depends` does, typed as what the dependency gives.

    Takes any dependency function, heykit's or not.
    """
    return Depends(dependency)
