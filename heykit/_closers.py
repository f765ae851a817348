"""What is left open, on a stack: closed in reverse, and where asked for, shielded from an outer cancellation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import ParamSpec, TypeAlias, TypeVar, cast

from anyio import CancelScope
from anyio.lowlevel import checkpoint_if_cancelled

from heykit._cancellation import may_be_pending

P = ParamSpec("P")
T = TypeVar("T")
Exit: TypeAlias = Callable[
    [type[BaseException] | None, BaseException | None, TracebackType | None], Awaitable[bool | None]
]


class Closers:
    """Puts what closes on a stack.

    With `cleanup` its closing is not interrupted from outside; that scope was entered before whatever is opened, so
    that scopes which those hold are left in their order.
    """

    __slots__ = ("_cleanup", "_kept", "_stack")

    def __init__(self, stack: AsyncExitStack, cleanup: CancelScope | None = None) -> None:
        self._stack = stack
        self._cleanup = cleanup
        self._kept: _Generators | None = None

    def entering(self, *, shielded: bool = True) -> AsyncExitStack:
        """Give the stack as contextlib has it, to enter something else."""
        self._kept = None  # what is kept from now on closes before it
        return _Shielding(self._stack, self._cleanup) if shielded else self._stack

    async def opened(self, generator: AsyncIterator[T]) -> T:
        """Run a generator to its `yield`, and from there on when the stack closes.

        What `asynccontextmanager` would make of it, at half the cost where nothing goes wrong.
        """
        try:
            value = await anext(generator)
        except StopAsyncIteration:
            raise RuntimeError("generator didn't yield") from None
        self.keep(generator)
        return value

    def keep(self, generator: AsyncIterator[object]) -> None:
        """Take a generator that has yielded."""
        if self._kept is None:
            self._kept = _Generators(self._cleanup)
            self._stack.push_async_exit(self._kept)
        self._kept.running.append(generator)


class _Generators:
    """Generators that have yielded one after another, on a stack as one; each shielded by `cleanup` while it closes."""

    __slots__ = ("_cleanup", "running")

    def __init__(self, cleanup: CancelScope | None) -> None:
        self.running: list[AsyncIterator[object]] = []
        self._cleanup = cleanup

    async def __aenter__(self) -> None:
        raise AssertionError("they are entered already")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if error is not None:
            return await self._rest().__aexit__(kind, error, traceback)
        cleanup = self._cleanup
        failed: BaseException | None = None
        try:
            while self.running:
                generator = self.running.pop()
                before = cleanup is not None and cleanup.shield
                if cleanup is not None:
                    cleanup.shield = True  # a cancellation may be pending already
                try:
                    await anext(generator)
                    await _stop(generator)
                except StopAsyncIteration:
                    pass
                finally:
                    if cleanup is not None:
                        cleanup.shield = before
                if may_be_pending():
                    await checkpoint_if_cancelled()  # what closes next must see it
        except BaseException as raised:  # noqa: BLE001 - raised again below, unless what closes next swallows it
            failed = raised
        if failed is not None:  # outside that handler, lest it become the context of what is raised next
            await self._fail(failed)
        return False

    async def _fail(self, error: BaseException) -> None:
        if not await self._rest().__aexit__(type(error), error, error.__traceback__):
            context = error.__context__
            try:
                raise error
            finally:
                error.__context__ = context  # which `raise` replaces

    def _rest(self) -> AsyncExitStack:
        """How an error is thrown in, and which one comes out, is contextlib's affair."""
        rest = AsyncExitStack()
        for generator in self.running:
            rest.push_async_exit(_exit_of(_managed(generator), self._cleanup))
        return rest


async def _stop(generator: AsyncIterator[object]) -> None:
    await cast("AsyncGenerator[object]", generator).aclose()
    raise RuntimeError("generator didn't stop")


def _managed(generator: AsyncIterator[object]) -> AbstractAsyncContextManager[object, bool | None]:
    return asynccontextmanager(lambda: cast("AsyncGenerator[object]", generator))()


class _Shielding(AsyncExitStack):
    """Another stack's context managers, each shielded while it closes; a cancellation is seen by the next."""

    def __init__(self, outer: AsyncExitStack, cleanup: CancelScope | None) -> None:
        super().__init__()
        self._outer = outer
        self._cleanup = cleanup

    async def enter_async_context(self, cm: AbstractAsyncContextManager[T, bool | None]) -> T:
        value = await cm.__aenter__()
        self._outer.push_async_exit(_exit_of(cm, self._cleanup))
        return value

    def callback(self, callback: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Callable[P, T]:
        return self._outer.callback(callback, *args, **kwargs)


def _exit_of(manager: AbstractAsyncContextManager[object, bool | None], cleanup: CancelScope | None) -> Exit:
    async def close(
        kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        with _shielded(cleanup):
            swallowed = await manager.__aexit__(kind, error, traceback)
        if error is None or swallowed:
            await _seen()
        return swallowed

    return close


@contextmanager
def _shielded(cleanup: CancelScope | None) -> Generator[None]:
    """A cancellation may be pending already, or come meanwhile."""
    if cleanup is None:
        yield
        return
    before, cleanup.shield = cleanup.shield, True
    try:
        yield
    finally:
        cleanup.shield = before


async def _seen() -> None:
    """Let what closes next see a cancellation that came, or that a task group swallowed while it was shielded."""
    if may_be_pending():
        await checkpoint_if_cancelled()
