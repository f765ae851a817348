"""A generator run on bare does what `asynccontextmanager` does with it."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from heykit._closers import Closers

Factory = Callable[[list[str]], AsyncGenerator[str]]


async def plain(log: list[str]) -> AsyncGenerator[str]:
    log.append("open")
    yield "value"
    log.append("close")


async def waiting(log: list[str]) -> AsyncGenerator[str]:
    await anyio.lowlevel.checkpoint()
    yield "value"
    await anyio.lowlevel.checkpoint()
    await anyio.sleep(0.001)
    log.append("close")


async def never(log: list[str]) -> AsyncGenerator[str]:
    if log:
        yield "value"


async def twice(log: list[str]) -> AsyncGenerator[str]:
    yield "value"
    yield "again"


async def twice_after_waiting(log: list[str]) -> AsyncGenerator[str]:
    yield "value"
    await anyio.lowlevel.checkpoint()
    yield "again"


async def before(log: list[str]) -> AsyncGenerator[str]:
    raise ValueError("before")
    yield "value"


async def after(log: list[str]) -> AsyncGenerator[str]:
    yield "value"
    raise ValueError("after")


async def after_waiting(log: list[str]) -> AsyncGenerator[str]:
    yield "value"
    await anyio.lowlevel.checkpoint()
    raise ValueError("after waiting")


async def swallowing(log: list[str]) -> AsyncGenerator[str]:
    try:
        yield "value"
    except KeyError:
        log.append("swallowed")


async def raising_again(log: list[str]) -> AsyncGenerator[str]:
    try:
        yield "value"
    except KeyError as error:
        log.append("seen")
        raise error  # noqa: TRY201 - the same one, by name


async def raising_another(log: list[str]) -> AsyncGenerator[str]:
    try:
        yield "value"
    except KeyError as error:
        raise LookupError("another") from error


async def stopping(log: list[str]) -> AsyncGenerator[str]:
    yield "value"
    raise StopAsyncIteration("mine")


async def with_a_time_limit(log: list[str]) -> AsyncGenerator[str]:
    with anyio.move_on_after(5):
        yield "value"
        await anyio.sleep(0.001)
        log.append("close")


async def with_tasks(log: list[str]) -> AsyncGenerator[str]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        yield "value"
        tasks.cancel_scope.cancel()
    log.append("close")


FACTORIES: list[Factory] = [
    plain, waiting, never, twice, twice_after_waiting, before, after, after_waiting, swallowing, raising_again,
    raising_another, stopping, with_a_time_limit, with_tasks,
]  # fmt: skip


def told(error: BaseException | None) -> list[str]:
    """An error with what it came from."""
    chain: list[str] = []
    while error is not None:
        chain.append(f"{type(error).__name__}: {error}")
        error = error.__cause__ or error.__context__
    return chain


async def outcome(bare: bool, factory: Factory, body: BaseException | None, *, shielded: bool) -> tuple[object, ...]:
    log: list[str] = []
    raised: BaseException | None = None
    value: object = None
    try:
        async with AsyncExitStack() as stack:
            if bare:
                cleanup = stack.enter_context(anyio.CancelScope()) if shielded else None
                value = await Closers(stack, cleanup).opened(factory(log))
            else:
                value = await stack.enter_async_context(asynccontextmanager(factory)(log))
            if body is not None:
                raise body  # noqa: TRY301 - as a block raises
    except BaseException as error:  # noqa: BLE001 - it is compared
        raised = error
    return value, tuple(log), told(raised)[:1]


@pytest.mark.parametrize("shielded", [False, True])
@pytest.mark.parametrize("body", [None, KeyError, StopIteration, StopAsyncIteration, RuntimeError, SystemExit])
@pytest.mark.parametrize("factory", FACTORIES)
async def test_whatever_it_does_the_outcome_is_the_same(
    factory: Factory, body: type[BaseException] | None, *, shielded: bool
) -> None:
    """Same value, same clean-up, same error."""
    one, other = (None if body is None else body("body") for _ in range(2))
    assert await outcome(True, factory, one, shielded=shielded) == await outcome(
        False, factory, other, shielded=shielded
    )


@example([(with_tasks, False), (with_tasks, False), (twice, False)], None, False)
@example([(stopping, False), (swallowing, True)], KeyError, False)
@given(
    st.lists(st.tuples(st.sampled_from(FACTORIES), st.booleans()), min_size=2, max_size=4),
    st.sampled_from([None, KeyError, SystemExit]),
    st.booleans(),
)
def test_several_close_as_they_would_one_by_one(
    several: list[tuple[Factory, bool]], body: type[BaseException] | None, shielded: bool
) -> None:
    """Same values, same clean-up in the same order, same errors; also with context managers among them."""

    async def run(*, bare: bool) -> tuple[list[object], list[str], list[str]]:
        log: list[str] = []
        values: list[object] = []
        raised: BaseException | None = None
        try:
            async with AsyncExitStack() as stack:
                closers = Closers(stack, stack.enter_context(anyio.CancelScope()) if shielded else None)
                for factory, as_manager in several:
                    log.append(factory.__name__)
                    if as_manager or not bare:
                        into = closers.entering() if bare else stack
                        values.append(await into.enter_async_context(asynccontextmanager(factory)(log)))
                    else:
                        values.append(await closers.opened(factory(log)))
                if body is not None:
                    raise body("body")  # noqa: TRY301 - as a block raises
        except BaseException as error:  # noqa: BLE001 - it is compared
            raised = error
        return values, log, told(raised)

    assert anyio.run(functools.partial(run, bare=True)) == anyio.run(functools.partial(run, bare=False))


async def test_one_that_yields_twice_is_closed_at_once() -> None:
    """So does contextlib in later versions of Python 3.11; in earlier ones the garbage collector did."""
    log: list[str] = []

    async def twice_and_closed() -> AsyncGenerator[str]:
        try:
            yield "value"
            yield "again"
        finally:
            log.append("close")

    with pytest.raises(RuntimeError, match="didn't stop"):
        async with AsyncExitStack() as stack:
            await Closers(stack).opened(twice_and_closed())
    assert log == ["close"]


async def test_a_cancellation_reaches_what_waits_in_its_clean_up_where_nothing_shields_it() -> None:
    log: list[str] = []

    async def stubborn() -> AsyncGenerator[str]:
        try:
            yield "value"
        finally:
            try:
                await anyio.sleep_forever()
            finally:
                log.append("interrupted")

    with anyio.move_on_after(0.01):
        async with AsyncExitStack() as stack:
            await Closers(stack).opened(stubborn())
    assert log == ["interrupted"]


async def test_shielded_it_ends_whole_and_the_cancellation_is_seen_after_it() -> None:
    log: list[str] = []

    async def slow() -> AsyncGenerator[str]:
        yield "value"
        await anyio.sleep(0.02)
        log.append("whole")

    with anyio.move_on_after(0.005) as limit:
        async with AsyncExitStack() as stack:
            await Closers(stack, stack.enter_context(anyio.CancelScope())).opened(slow())
        log.append("never reached")
    assert log == ["whole"]
    assert limit.cancelled_caught
