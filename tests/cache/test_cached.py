from __future__ import annotations

import asyncio
import gc
import inspect
import weakref
from contextlib import AbstractAsyncContextManager
from contextvars import ContextVar
from typing import Literal, TypeAlias

import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from heykit.cache import Cache, cached, memory_cache
from heykit.errors import Unavailable
from tests.cache.model import Clock
from tests.cache.wire import Wire


class Source:
    """What loaders read: a read brings what stood when it began, once it is let go."""

    def __init__(self) -> None:
        self.value = 1
        self.reads = 0
        self.held: list[asyncio.Event] = []

    async def read(self, id: int = 7) -> int:
        self.reads += 1
        seen, gate = self.value, asyncio.Event()
        self.held.append(gate)
        await gate.wait()
        return seen

    async def begun(self, reads: int = 1) -> None:
        for _ in range(100):
            if self.reads == reads:
                return
            await checkpoint()
        pytest.fail(f"{self.reads} reads have begun, not {reads}")

    def let_go(self) -> None:
        for gate in self.held:
            gate.set()


def numbers(clock: Clock | None = None) -> AbstractAsyncContextManager[Cache[int]]:
    return memory_cache(int, clock=clock or Clock())


def optional_numbers() -> AbstractAsyncContextManager[Cache[int | None]]:
    return memory_cache()


def wired(near: Cache[int]) -> tuple[Wire[int], Cache[int]]:
    wire = Wire(near)
    return wire, wire


async def settle() -> None:
    for _ in range(30):
        await checkpoint()


async def test_a_result_is_loaded_once_and_again_when_its_time_is_over() -> None:
    clock, loads = Clock(), iter(range(10))
    async with numbers(clock) as cache:

        @cached(cache, ttl=5)
        async def find() -> int:
            return next(loads)

        assert [await find(), await find()] == [0, 0]
        clock.now = 5
        assert await find() == 1


async def test_none_is_kept_like_any_other_result() -> None:
    loads = 0
    async with optional_numbers() as cache:

        @cached(cache)
        async def find() -> int | None:
            nonlocal loads
            loads += 1
            return None

        assert [await find(), await find()] == [None, None]
    assert loads == 1


async def test_a_thousand_callers_at_once_are_one_load() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        callers = [asyncio.create_task(find(7)) for _ in range(1000)]
        await source.begun()
        source.let_go()

        assert await asyncio.gather(*callers) == [1] * 1000
    assert source.reads == 1


async def test_other_arguments_are_another_load_that_waits_for_nobody() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        callers = [asyncio.create_task(find(id)) for id in (1, 2)]
        await source.begun(2)
        source.let_go()
        await asyncio.gather(*callers)


async def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    answers: list[int | Exception] = [LookupError("away"), 5]
    async with numbers() as cache:

        @cached(cache)
        async def find() -> int:
            await checkpoint()
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        callers = [asyncio.create_task(find()) for _ in range(3)]
        await asyncio.wait(callers)

        assert [str(each.exception()) for each in callers] == ["away"] * 3
        assert await find() == 5


async def test_who_comes_as_a_load_has_just_failed_starts_a_fresh_one() -> None:
    again: list[asyncio.Task[int]] = []
    async with numbers() as cache:

        @cached(cache)
        async def find() -> int:
            if again:
                return 5
            again.append(asyncio.create_task(find()))  # runs before anything that waits for this load
            raise LookupError

        with pytest.raises(LookupError):
            await find()
        assert await again[0] == 5


@given(st.lists(st.booleans(), min_size=1, max_size=8))
async def test_whoever_is_cancelled_the_others_get_the_value(leaves: list[bool]) -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        callers = [asyncio.create_task(find()) for _ in leaves]
        await source.begun()
        for caller, leave in zip(callers, leaves, strict=True):
            if leave:
                caller.cancel()
        await settle()
        source.let_go()
        await asyncio.wait(callers)

        assert [each.cancelled() for each in callers] == leaves
        assert {each.result() for each in callers if not each.cancelled()} <= {1}
        assert await find() == 1  # it is kept, even if nobody was left to wait for it
    assert source.reads == 1


async def test_a_load_that_fails_when_all_have_left_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    async with numbers() as cache:

        @cached(cache)
        async def find() -> int:
            raise LookupError(f"no {await source.read()}")

        caller = asyncio.create_task(find())
        await source.begun()
        caller.cancel()
        await asyncio.wait([caller])
        source.let_go()
        await settle()

    assert "find failed when nobody waited" in caplog.text
    assert "LookupError: no 1" in caplog.text


async def test_a_cancelled_load_is_an_error_to_those_who_wait_not_their_own_cancellation() -> None:
    async with numbers() as cache:

        @cached(cache)
        async def find() -> int:
            raise asyncio.CancelledError

        with pytest.raises(Unavailable, match="ask again"):
            await find()


async def test_a_load_inherits_nothing_from_the_caller_who_came_first() -> None:
    user: ContextVar[int] = ContextVar("user", default=0)
    async with numbers() as cache:

        @cached(cache)
        async def find() -> int:
            return user.get()

        user.set(42)
        assert await find() == 0


async def test_invalidate_drops_the_value_of_its_arguments_alone() -> None:
    loads: list[int] = []
    async with numbers() as cache:

        @cached(cache)
        async def find(id: int, factor: int = 10) -> int:
            loads.append(id)
            return id * factor

        await find(1)
        await find(2)
        await find.invalidate(id=1, factor=10)

        assert [await find(1), await find(2)] == [10, 20]
    assert loads == [1, 2, 1]


async def test_what_was_read_before_an_invalidate_is_not_kept_after_it() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        before = asyncio.create_task(find())
        await source.begun()
        source.value = 2
        await find.invalidate()
        source.let_go()

        assert await before == 1
        after = asyncio.create_task(find())
        await source.begun(2)
        source.let_go()
        assert await after == 2


async def test_who_comes_after_an_invalidate_does_not_join_the_load_from_before_it() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        before = asyncio.create_task(find())
        await source.begun()
        source.value = 2
        await find.invalidate()
        after = asyncio.create_task(find())
        await source.begun(2)
        for gate in reversed(source.held):  # the fresh one lands first, the old one last
            gate.set()
            await settle()

        assert [await before, await after, await find()] == [1, 2, 2]
    assert source.reads == 2


async def test_a_dropped_load_that_ends_takes_nothing_from_the_fresh_one() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache)(source.read)
        before = asyncio.create_task(find())
        await source.begun()
        await find.invalidate()
        after = asyncio.create_task(find())
        await source.begun(2)
        source.held[0].set()
        await before
        later = asyncio.create_task(find())
        await settle()
        source.let_go()

        assert [await after, await later] == [1, 1]
    assert source.reads == 2


async def test_a_load_goes_on_when_nobody_holds_it_any_more() -> None:
    gates: list[weakref.ref[asyncio.Event]] = []

    async def load() -> int:
        gate = asyncio.Event()
        gates.append(weakref.ref(gate))
        await gate.wait()
        return 1

    async with numbers() as cache:
        find = cached(cache)(load)
        caller = asyncio.create_task(find())
        await settle()
        await find.invalidate()
        caller.cancel()
        await asyncio.wait([caller])
        del caller
        gc.collect()
        gate = gates[0]()

        assert gate is not None
        gate.set()
        await settle()


async def test_an_old_value_on_its_way_to_the_cache_does_not_outlive_an_invalidate() -> None:
    source = Source()
    async with numbers() as near:
        wire, cache = wired(near)
        find = cached(cache)(source.read)
        wire.writes_pass.clear()
        before = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        await settle()
        source.value = 2
        invalidates = [asyncio.create_task(find.invalidate()) for _ in range(2)]
        await settle()
        assert not any(each.done() for each in invalidates)

        wire.writes_pass.set()
        await asyncio.gather(before, *invalidates)
        assert near.stats().size == 0


async def test_who_comes_after_an_invalidate_joins_nobody_who_found_the_value_before_it_was_deleted() -> None:
    source = Source()
    async with numbers() as near:
        wire, cache = wired(near)
        find = cached(cache)(source.read)
        wire.answers_pass = first_look = asyncio.Event()
        late = asyncio.create_task(find())
        await settle()
        wire.answers_pass = asyncio.Event()
        wire.answers_pass.set()
        early = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        assert await early == 1

        source.value = 2
        wire.deletes_pass.clear()
        invalidate = asyncio.create_task(find.invalidate())
        wire.answers_pass = second_look = asyncio.Event()
        first_look.set()
        await settle()  # the late one looks again, and finds what is not deleted yet
        wire.deletes_pass.set()
        await invalidate
        wire.answers_pass = asyncio.Event()
        wire.answers_pass.set()
        after = asyncio.create_task(find())
        await settle()
        second_look.set()
        await settle()
        source.let_go()

        assert [await late, await after] == [1, 2]


async def test_who_looked_before_a_load_landed_and_hears_after_it_does_not_load_again() -> None:
    source = Source()
    async with numbers() as near:
        wire, cache = wired(near)
        find = cached(cache)(source.read)
        wire.answers_pass = held = asyncio.Event()
        late = asyncio.create_task(find())
        await settle()
        wire.answers_pass = asyncio.Event()
        wire.answers_pass.set()
        early = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        await early
        await settle()
        held.set()
        await settle()
        source.let_go()

        assert await late == 1
    assert source.reads == 1


async def test_a_cache_that_cannot_be_read_costs_a_load(caplog: pytest.LogCaptureFixture) -> None:
    async with numbers() as near:
        wire, cache = wired(near)
        wire.failing = {"get"}

        @cached(cache)
        async def find() -> int:
            return 1

        assert await find() == 1
    assert "find could not be read" in caplog.text


async def test_a_cache_that_cannot_be_written_does_not_cost_the_value(caplog: pytest.LogCaptureFixture) -> None:
    async with numbers() as near:
        wire, cache = wired(near)
        wire.failing = {"set"}

        @cached(cache)
        async def find() -> int:
            return 1

        assert await find() == 1
    assert "find could not be written" in caplog.text


async def test_an_invalidate_that_cannot_delete_raises() -> None:
    async with numbers() as near:
        wire, cache = wired(near)
        wire.failing = {"delete"}

        @cached(cache)
        async def find() -> int:
            return 1

        with pytest.raises(ConnectionError):
            await find.invalidate()


async def test_a_bound_method_keeps_its_arguments() -> None:
    class Videos:
        def __init__(self, cache: Cache[int]) -> None:
            self.get = cached(cache)(self._get)

        async def _get(self, id: int) -> int:
            return id * 2

    async with numbers() as cache:
        videos = Videos(cache)
        assert [await videos.get(2), await videos.get(id=2)] == [4, 4]
        assert cache.stats().size == 1


async def test_a_key_of_ones_own_is_used_as_it_stands() -> None:
    async with numbers() as cache:

        @cached(cache, key=lambda ids: f"sum:{','.join(map(str, ids))}")
        async def total(ids: list[int]) -> int:
            return sum(ids)

        assert await total([1, 2]) == 3
        assert await cache.get("sum:1,2") == 3
        await total.invalidate([1, 2])
        assert await cache.get("sum:1,2") is None


async def test_a_time_to_live_that_is_not_above_zero_is_refused_at_decoration() -> None:
    async with numbers() as cache:
        with pytest.raises(ValueError, match="ttl must be more than 0"):
            cached(cache, ttl=0)


async def test_it_looks_like_the_function_it_wraps() -> None:
    async with numbers() as cache:

        @cached(cache)
        async def find(id: int, *, deep: bool = False) -> int:
            """Find it."""
            return id

        assert inspect.getdoc(find) == "Find it."
        assert str(inspect.signature(find)) == "(id: 'int', *, deep: 'bool' = False) -> 'int'"


Event: TypeAlias = Literal["call", "leave", "write", "let one go", "let all go", "wait"]
EVENTS: list[Event] = ["call", "leave", "write", "let one go", "let all go", "wait"]


@given(st.lists(st.sampled_from(EVENTS), max_size=40), st.booleans())
async def test_nobody_gets_a_value_older_than_the_last_invalidate_before_the_call(
    history: list[Event], far: bool
) -> None:
    """Whatever the order of calls, cancellations, writes each with its invalidate, and loads that end."""
    source = Source()
    asked: list[tuple[int, asyncio.Task[int]]] = []
    async with numbers() as near:
        find = cached(wired(near)[1] if far else near)(source.read)
        for event in history:
            match event:
                case "call":
                    asked.append((source.value, asyncio.create_task(find())))
                case "leave" if asked:
                    asked.pop()[1].cancel()
                case "write":
                    source.value += 1
                    await find.invalidate()
                case "let one go" if source.held:
                    source.held.pop().set()
                case "let all go":
                    source.let_go()
                case _:
                    await settle()
        asked.append((source.value, asyncio.create_task(find())))
        while not all(task.done() for _, task in asked):
            source.let_go()
            await checkpoint()

        assert all(task.result() >= oldest for oldest, task in asked)
        assert await find() == source.value
