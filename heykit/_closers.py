"""What is left open, on a stack: closed in reverse, and where asked for, shielded from an outer cancellation."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

from anyio import CancelScope
from anyio.lowlevel import checkpoint_if_cancelled

P = ParamSpec("P")
T = TypeVar("T")


def cleanup_scope() -> CancelScope:
    """Make the scope that shields a request's clean-up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return CancelScope()
    return _scope_on_asyncio()()


@functools.cache
def _scope_on_asyncio() -> type[CancelScope]:
    # `CancelScope()` finds out each time which event loop runs, which costs as much again; it makes one class of them.
    return type(CancelScope())


class Closers:
    """Puts what closes on a stack.

    With `cleanup` its closing is not interrupted from outside; that scope was entered before whatever is opened, so
    that scopes which those hold are left in their order.
    """

    __slots__ = ("_cleanup", "_stack")

    def __init__(self, stack: AsyncExitStack, cleanup: CancelScope | None = None) -> None:
        self._stack = stack
        self._cleanup = cleanup

    @property
    def bare(self) -> AsyncExitStack:
        """The stack for what is closed as it is, shielded or not."""
        return self._stack

    @property
    def stack(self) -> AsyncExitStack:
        """The stack as contextlib has it."""
        return self._stack if self._cleanup is None else _Shielding(self._stack, self._cleanup)

    async def opened(self, generator: AsyncIterator[T]) -> T:
        """Run a generator to its `yield`, and from there on when the stack closes.

        What `asynccontextmanager` would make of it, at half the cost where nothing goes wrong.
        """
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise RuntimeError("generator didn't yield") from None
        self._stack.push_async_exit(Running(generator, self._cleanup))
        return value


class Running:
    """A generator that has yielded, to be pushed on a stack; shielded by `cleanup` where its closing may wait."""

    __slots__ = ("_cleanup", "_generator")

    def __init__(self, generator: AsyncIterator[object], cleanup: CancelScope | None) -> None:
        self._generator = generator
        self._cleanup = cleanup

    async def __aenter__(self) -> None:
        raise AssertionError("it is entered already")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is None:
            closing = self._finished()
        else:
            # How an error is thrown in, and which one comes out, is contextlib's affair.
            manager = asynccontextmanager(lambda: cast("AsyncGenerator[object]", self._generator))()
            closing = manager.__aexit__(kind, error, traceback)
        return await _shielded(self._cleanup, closing, error)

    async def _finished(self) -> bool | None:
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            return False
        await cast("AsyncGenerator[object]", self._generator).aclose()
        raise RuntimeError("generator didn't stop")


class _Shielding(AsyncExitStack):
    """Another stack's context managers, each shielded while it closes."""

    def __init__(self, outer: AsyncExitStack, cleanup: CancelScope) -> None:
        super().__init__()
        self._outer = outer
        self._cleanup = cleanup

    async def enter_async_context(self, cm: AbstractAsyncContextManager[T, bool | None]) -> T:
        value = await cm.__aenter__()

        async def close(
            kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> bool | None:
            return await _shielded(self._cleanup, cm.__aexit__(kind, error, traceback), error)

        self._outer.push_async_exit(close)
        return value

    def callback(self, callback: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, T]:
        return self._outer.callback(callback, *args, **kwargs)


async def _shielded(
    cleanup: CancelScope | None, closing: Awaitable[bool | None], error: BaseException | None
) -> bool | None:
    if cleanup is None:
        swallowed = await closing
    else:
        before, cleanup.shield = cleanup.shield, True  # a cancellation may be pending already
        try:
            swallowed = await closing
        finally:
            cleanup.shield = before
    # One that came meanwhile, or that a task group swallowed while it was shielded: what closes next must see it.
    if error is None or swallowed:
        await checkpoint_if_cancelled()
    return swallowed
