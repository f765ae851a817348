"""A factory with a lifetime: the value FastAPI takes for a dependency."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeAlias, TypeVar, cast

from anyio import to_thread
from fastapi.concurrency import contextmanager_in_threadpool
from fastapi.requests import HTTPConnection

from heykit._needs import Dependency, Need, name_of, needs_of
from heykit.resilience import Retry

if sys.version_info >= (3, 13):
    _is_coroutine_function: Callable[[object], bool] = inspect.iscoroutinefunction
else:  # functions marked as coroutine functions count too, as they do to FastAPI
    _is_coroutine_function = asyncio.iscoroutinefunction

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Lifetime: TypeAlias = Literal["singleton", "application", "keyed", "session", "request", "function"]
Arguments: TypeAlias = Mapping[str, object]
Enter: TypeAlias = Callable[[Arguments, AsyncExitStack], Awaitable[object]]


class Seen(NamedTuple):
    """What FastAPI sees of a provider: the function it calls and that function's parameters."""

    call: Callable[..., object]
    signature: inspect.Signature


@dataclass(frozen=True)
class Keyed:
    """One instance per value of `by`, closed after `idle` seconds without a holder; at most `limit` of them."""

    by: Dependency
    idle: float
    limit: int


@dataclass(frozen=True)
class Options:
    """How a provider is opened. `timeout`: seconds to open, and again to close."""

    timeout: float = 30.0
    lazy: bool = False
    retry: Retry | None = None
    fallback: Provider[object] | None = None
    keyed: Keyed | None = None


class Provider(Generic[T_co]):
    """A FastAPI dependency, compared by identity.

    For `Depends(provider)`, `provided(provider)`, and as a key of `dependency_overrides`.
    """

    def __init__(
        self,
        factory: Dependency,
        lifetime: Lifetime,
        options: Options,
        seen: Callable[[Provider[object]], Seen],
    ) -> None:
        self.factory = factory
        self.lifetime = lifetime
        self.options = options
        self.__name__ = name_of(factory)
        self.__doc__ = factory.__doc__
        self.__module__ = getattr(factory, "__module__", __name__)
        self._seen_by = seen

    def __repr__(self) -> str:
        return f"<{self.lifetime} provider {self.__module__}.{self.__name__}>"

    if TYPE_CHECKING:

        async def __call__(self, connection: HTTPConnection) -> T_co: ...

    else:
        # Looked up in C: FastAPI does it for each request.
        __call__ = property(attrgetter("_seen.call"))

    @property
    def __signature__(self) -> inspect.Signature:
        return self._seen.signature

    # FastAPI evaluates what is left as text in a signature with these names.
    @property
    def __globals__(self) -> Mapping[str, object]:
        return cast("Mapping[str, object]", getattr(inspect.unwrap(self.factory), "__globals__", {}))

    @property
    def is_long_lived(self) -> bool:
        """Whether its application opens it, once."""
        return self.lifetime in {"application", "singleton"}

    @functools.cached_property
    def _seen(self) -> Seen:
        return self._seen_by(self)

    @functools.cached_property
    def needs(self) -> tuple[Need, ...]:
        return needs_of(self.factory)

    @functools.cached_property
    def closes(self) -> bool:
        """Whether something is left to do when its lifetime ends."""
        return not inspect.iscoroutinefunction(_call_of(self.factory))

    @property
    def call(self) -> Callable[..., Awaitable[object]] | None:
        """The factory itself, where it is a coroutine function."""
        if not inspect.iscoroutinefunction(_call_of(self.factory)):
            return None
        return cast("Callable[..., Awaitable[object]]", self.factory)

    @property
    def generate(self) -> Callable[..., AsyncIterator[object]] | None:
        """The factory itself, where it is an async generator function."""
        if not inspect.isasyncgenfunction(_call_of(self.factory)):
            return None
        return cast("Callable[..., AsyncIterator[object]]", self.factory)

    @functools.cached_property
    def enter(self) -> Enter:
        """Open one instance; what closes it goes on the stack."""
        return _enter_managed(self.factory) if _is_plain(self.factory) else entering(self.factory)


def closes(dependency: Dependency) -> bool:
    """Tell whether a dependency, a provider or a plain function, is left open until its lifetime ends."""
    if isinstance(dependency, Provider):
        return dependency.closes
    return _is(inspect.isasyncgenfunction, dependency) or is_sync_generator(dependency)


def is_sync_generator(dependency: Dependency) -> bool:
    """Tell whether FastAPI runs a dependency function in a thread to its `yield`, and on from there."""
    return _is(inspect.isgeneratorfunction, dependency)


def is_awaited(dependency: Dependency) -> bool:
    """Tell whether FastAPI awaits what a dependency function returns."""
    return _is(_is_coroutine_function, dependency)


def entering(dependency: Dependency) -> Enter:
    """Choose how a dependency function is called, as FastAPI would: awaited, iterated, or run in a thread."""
    if _is(inspect.isasyncgenfunction, dependency):
        return _enter_managed(dependency)
    if is_awaited(dependency):
        return _enter_coroutine(dependency)
    if is_sync_generator(dependency):
        return _enter_sync_generator(dependency)
    return _enter_sync(dependency)


def _is(kind: Callable[[object], bool], dependency: Dependency) -> bool:
    """FastAPI looks at a function, and through its decorators at the one within."""
    return kind(_call_of(dependency)) or kind(_call_of(inspect.unwrap(_call_of(dependency))))


def unpartial(dependency: Dependency) -> Dependency:
    """Look through `functools.partial`."""
    while isinstance(dependency, functools.partial):
        dependency = dependency.func
    return dependency


def _call_of(dependency: Dependency) -> Dependency:
    plain = unpartial(dependency)
    if inspect.isroutine(plain) or inspect.isclass(plain):
        return plain
    return unpartial(cast("Dependency", getattr(plain, "__call__")))  # noqa: B004, B009 - what FastAPI looks at


def _is_plain(factory: Dependency) -> bool:
    function = _call_of(factory)
    return not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))


def _enter_coroutine(factory: Dependency) -> Enter:
    async def enter(arguments: Arguments, _: AsyncExitStack) -> object:
        return await cast("Callable[..., Awaitable[object]]", factory)(**arguments)

    return enter


def _enter_generator(factory: Dependency) -> Enter:
    manager = asynccontextmanager(cast("Callable[..., AsyncIterator[object]]", factory))

    async def enter(arguments: Arguments, stack: AsyncExitStack) -> object:
        return await stack.enter_async_context(manager(**arguments))

    return enter


def _enter_sync_generator(dependency: Dependency) -> Enter:
    manager = contextmanager(cast("Callable[..., Iterator[object]]", dependency))

    async def enter(arguments: Arguments, stack: AsyncExitStack) -> object:
        return await stack.enter_async_context(contextmanager_in_threadpool(manager(**arguments)))

    return enter


def _enter_sync(dependency: Dependency) -> Enter:
    async def enter(arguments: Arguments, _: AsyncExitStack) -> object:
        return await to_thread.run_sync(lambda: dependency(**arguments))

    return enter


def _enter_managed(factory: Dependency) -> Enter:
    async def enter(arguments: Arguments, stack: AsyncExitStack) -> object:
        made = factory(**arguments)
        if isinstance(made, AbstractAsyncContextManager):
            return await stack.enter_async_context(made)
        if isinstance(made, Awaitable):
            return await made
        if isinstance(made, AsyncIterator):
            return await stack.enter_async_context(asynccontextmanager(lambda: made)())
        message = (
            f"{name_of(factory)} returned {type(made).__name__}: a factory is a coroutine function, an async generator "
            "function, or a function that returns an async context manager"
        )
        raise TypeError(message)

    return enter
