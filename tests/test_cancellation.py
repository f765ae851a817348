"""What is asked of anyio at less cost than its own answer is the same answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit import _cancellation
from heykit._cancellation import cleanup_scope, may_be_pending

Kind = tuple[bool, bool]  # cancelled, shielded


async def is_pending() -> bool:
    """As anyio has it."""
    with anyio.move_on_after(None) as asked:
        try:
            await anyio.lowlevel.checkpoint_if_cancelled()
        except BaseException:  # noqa: BLE001 - a cancellation: the answer
            return True
    assert not asked.cancel_called
    return False


async def nested(kinds: Sequence[Kind]) -> tuple[bool, bool]:
    async with contextlib.AsyncExitStack() as stack:
        scopes = [stack.enter_context(anyio.CancelScope(shield=shield)) for _, shield in kinds]
        for scope, (cancelled, _) in zip(scopes, kinds, strict=True):
            if cancelled:
                scope.cancel()
        return may_be_pending(), await is_pending()
    raise AssertionError("nothing is raised in it")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=4))
def test_a_pending_cancellation_is_seen_where_a_checkpoint_would_raise_it(kinds: list[Kind]) -> None:
    seen, real = anyio.run(nested, kinds)
    assert seen is real


async def test_outside_every_scope_nothing_can_cancel_and_nothing_need_be_shielded() -> None:
    shields: list[bool] = []

    async def asks() -> None:
        shields.append(cleanup_scope() is not None)

    await asyncio.get_running_loop().create_task(asks())
    with anyio.CancelScope():
        await asks()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(asks)
    assert shields == [False, True, True]


async def test_where_anyio_keeps_its_scopes_elsewhere_it_is_asked_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def moved() -> None:
        raise AttributeError("_task_states")

    async def asks() -> tuple[bool, bool]:
        return cleanup_scope() is not None, may_be_pending()

    assert await asyncio.get_running_loop().create_task(asks()) == (False, False)
    monkeypatch.setattr(_cancellation, "_states", moved)
    assert await asyncio.get_running_loop().create_task(asks()) == (True, True)


async def test_the_scope_that_shields_is_one_of_anyios() -> None:
    with anyio.move_on_after(0.01) as outer:
        scope = cleanup_scope()
        assert isinstance(scope, type(anyio.CancelScope()))
        with scope:
            scope.shield = True
            await anyio.sleep(0.02)
            scope.shield = False
            assert outer.cancel_called
            await anyio.lowlevel.checkpoint()
            raise AssertionError("it is cancelled once it is shielded no longer")
    assert outer.cancelled_caught
