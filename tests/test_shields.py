"""Which generators need no shield: those whose code shows that nothing can interrupt their closing."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import anyio
import anyio.lowlevel
import pytest

from heykit._closers import cleanup_scope
from heykit._provider import never_waits


async def plain() -> AsyncIterator[int]:
    yield 1


async def in_a_sync_block() -> AsyncIterator[int]:
    with suppress(ValueError):
        yield 1


async def waits_before() -> AsyncIterator[int]:
    await anyio.lowlevel.checkpoint()
    yield 1


async def waits_after() -> AsyncIterator[int]:
    try:
        yield 1
    finally:
        await anyio.lowlevel.checkpoint()


async def in_an_async_block() -> AsyncIterator[int]:
    async with anyio.create_task_group():
        yield 1


async def over_another() -> AsyncIterator[int]:
    async for number in plain():
        yield number


async def in_a_comprehension() -> AsyncIterator[list[int]]:
    yield [1]
    del [number async for number in plain()][:]


@functools.wraps(plain)
def decorated() -> AsyncIterator[int]:
    return waits_after()


@pytest.mark.parametrize(
    ("generate", "waits"),
    [
        (plain, False),
        (in_a_sync_block, False),
        (waits_before, True),
        (waits_after, True),
        (in_an_async_block, True),
        (over_another, True),
        (in_a_comprehension, True),
        (decorated, True),
        (functools.partial(plain), True),
        (None, True),
    ],
)
def test_what_may_wait_at_its_closing_is_seen_in_its_code(
    generate: Callable[..., AsyncIterator[object]] | None, waits: bool
) -> None:
    """Where that cannot be seen it is taken to be so."""
    assert never_waits(generate) is not waits


async def test_the_scope_that_shields_is_one_of_anyios() -> None:
    with anyio.move_on_after(0.01) as outer, cleanup_scope() as scope:
        assert isinstance(scope, type(anyio.CancelScope()))
        scope.shield = True
        await anyio.sleep(0.02)
        scope.shield = False
        assert outer.cancel_called
        await anyio.lowlevel.checkpoint()
        raise AssertionError("it is cancelled once it is shielded no longer")
    assert outer.cancelled_caught
