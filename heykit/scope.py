"""Lifetimes as decorators.

A factory is a coroutine function, an async generator function, or a function that returns an async context manager
(which is entered); its parameters are its dependencies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar, cast, overload

from fastapi import Depends

from heykit._needs import Dependency
from heykit._provider import Lifetime, Options, Provider
from heykit._seen import seen

__all__ = ["Declare", "DeclareLike", "DeclareLong", "Provider", "application", "function", "provided", "request"]

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

    `timeout`: seconds an instance may take to open, and to close. `fallback`: what serves where it cannot open.
    """

    @overload
    def __call__(self, factory: Callable[..., AsyncIterator[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., Awaitable[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, factory: Callable[..., AbstractAsyncContextManager[T]], /) -> Provider[T]: ...
    @overload
    def __call__(self, /, *, timeout: float = 30.0) -> Declare: ...
    @overload
    def __call__(self, /, *, fallback: Provider[T], timeout: float = 30.0) -> DeclareLike[T]: ...


def _declare(lifetime: Lifetime) -> Declare:
    def declare(factory: Dependency, /) -> Provider[object]:
        return Provider(factory, lifetime, Options(), seen)

    return cast("Declare", declare)


def _declare_long(lifetime: Lifetime) -> DeclareLong:
    def declare(
        factory: Dependency | None = None, /, *, timeout: float = 30.0, fallback: Provider[object] | None = None
    ) -> object:
        options = Options(timeout, fallback)

        def with_options(factory: Dependency, /) -> Provider[object]:
            return Provider(factory, lifetime, options, seen)

        return with_options if factory is None else with_options(factory)

    return cast("DeclareLong", declare)


application: DeclareLong = _declare_long("application")
"""One instance an application, opened by its lifespan."""

request: Declare = _declare("request")
"""One instance a request, closed after the response is sent."""

function: Declare = _declare("function")
"""One instance a request, closed before the response leaves: a transaction commits before the client hears of it."""


@overload
def provided(dependency: Provider[T]) -> T: ...
@overload
def provided(dependency: type[T]) -> T: ...
@overload
def provided(dependency: Callable[..., AsyncIterator[T]]) -> T: ...
@overload
def provided(dependency: Callable[..., Generator[T, object, object]]) -> T: ...
@overload
def provided(dependency: Callable[..., Awaitable[T]]) -> T: ...
@overload
def provided(dependency: Callable[..., T]) -> T: ...
def provided(dependency: Callable[..., object]) -> object:
    """Declare a parameter's value as FastAPI's `Depends` does, typed as what the dependency gives.

    Takes any dependency function, heykit's or not.
    """
    return Depends(dependency)
