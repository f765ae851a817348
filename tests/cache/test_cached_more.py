"""Cached functions in one process: tags, stale and early values, copies, what is counted, and transactions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.cache import Cache, cached, invalidate_tags, memory_cache
from heykit.cache._frozen import is_frozen
from heykit.database import Database
from tests.cache.model import Clock
from tests.cache.test_cached import Source, numbers, settle
from tests.cache.wire import Wire


async def test_a_tag_drops_what_has_it_and_nothing_else() -> None:
    loads: list[int] = []
    async with numbers() as cache:

        @cached(cache, tags=lambda id: (f"number:{id}", "all"))
        async def find(id: int) -> int:
            loads.append(id)
            return id

        await find(1)
        await find(2)
        await invalidate_tags(cache, "number:1")
        await find(1)
        await find(2)
        assert loads == [1, 2, 1]
        await invalidate_tags(cache, "all", "others")
        await find(1)
        await find(2)
        assert loads == [1, 2, 1, 1, 2]
        await invalidate_tags(cache)


async def test_functions_that_share_a_cache_share_its_tags() -> None:
    async with numbers() as cache:

        @cached(cache, tags=["user:7"])
        async def one() -> int:
            return 1

        @cached(cache, tags=("user:7",))
        async def two() -> int:
            return 2

        assert [await one(), await two()] == [1, 2]
        await invalidate_tags(cache, "user:7")
        await one()
        assert cache.stats().loads == 3


async def test_a_load_from_before_its_tag_was_dropped_is_not_kept_and_not_joined() -> None:
    source = Source()
    async with numbers() as cache:
        find = cached(cache, tags=("t",))(source.read)
        before = asyncio.create_task(find())
        await source.begun()
        source.value = 2
        await invalidate_tags(cache, "t")
        after = asyncio.create_task(find())
        await source.begun(2)
        source.let_go()

        assert [await before, await after, await find()] == [1, 2, 2]


async def test_what_was_dropped_by_its_tag_is_not_got_by_its_key_either() -> None:
    async with numbers() as cache:

        @cached(cache, key=lambda: "x", tags=("t",))
        async def find() -> int:
            return 1

        await find()
        assert await cache.get("x") == 1
        await invalidate_tags(cache, "t")
        assert [await cache.get("x"), await cache.get_many(["x"]), await cache.delete("x")] == [None, {}, False]


async def test_a_cache_that_knows_no_tags_and_no_times_says_so() -> None:
    async with numbers() as near:
        far: Cache[int] = Wire(near)
        for wrong in ({"tags": ("t",)}, {"stale": 1.0}, {"early": 1.0}):
            with pytest.raises(TypeError, match="Wire knows neither tags nor the age of its values"):
                cached(
                    far,
                    ttl=10,
                    tags=cast("Iterable[str]", wrong.get("tags", ())),
                    stale=cast("float", wrong.get("stale", 0.0)),
                    early=cast("float", wrong.get("early", 0.0)),
                )
        with pytest.raises(TypeError, match="does not know tags"):
            await invalidate_tags(far, "t")
        with pytest.raises(TypeError, match=r"tags are several: give \('t',\)"):
            cached(near, tags="t")


async def test_a_stale_value_is_given_while_one_load_brings_the_next() -> None:
    clock, source = Clock(), Source()
    async with numbers(clock) as cache:
        find = cached(cache, ttl=10, stale=5)(source.read)
        first = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        assert await first == 1

        clock.now = 9.9
        assert await find() == 1
        assert source.reads == 1
        clock.now, source.value = 10.0, 2
        assert [await find() for _ in range(5)] == [1] * 5
        await source.begun(2)
        source.let_go()
        await settle()
        assert await find() == 2

        clock.now = 10.0 + 15.0  # nobody has asked for so long that it is gone
        source.value = 3
        late = asyncio.create_task(find())
        await source.begun(3)
        source.let_go()
        assert await late == 3


async def test_a_thousand_on_an_expired_key_are_one_load_and_none_fails_when_the_first_is_cancelled() -> None:
    clock, source = Clock(), Source()
    async with numbers(clock) as cache:
        find = cached(cache, ttl=10)(source.read)
        first = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        await first
        clock.now, source.value = 10.0, 2
        leader, *others = [asyncio.create_task(find()) for _ in range(1000)]
        await source.begun(2)
        leader.cancel()
        await settle()
        source.let_go()

        assert await asyncio.gather(*others) == [2] * 999
        assert leader.cancelled()
        assert source.reads == 2


async def test_shortly_before_its_time_a_value_is_loaded_anew_and_nobody_waits() -> None:
    clock, source = Clock(), Source()
    async with numbers(clock) as cache:
        find = cached(cache, ttl=10, early=2)(source.read)
        first = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        await first
        clock.now = 7.9
        await find()
        assert source.reads == 1
        clock.now, source.value = 8.0, 2
        assert [await find(), await find()] == [1, 1]
        await source.begun(2)
        source.let_go()
        await settle()
        clock.now = 17.9
        assert await find() == 2


async def test_a_load_in_the_background_that_fails_is_told_and_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._calls._PAUSE", 0)
    clock = Clock()
    answers: list[int | Exception] = [1, LookupError("away"), 3]
    async with numbers(clock) as cache:

        @cached(cache, ttl=10, stale=100)
        async def find() -> int:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        assert await find() == 1
        clock.now = 11
        assert await find() == 1
        await settle()
        assert "failed when nobody waited for it" in caplog.text
        assert await find() == 1
        await settle()
        assert await find() == 3


async def test_a_stale_value_that_was_dropped_is_not_given() -> None:
    clock, source = Clock(), Source()
    async with numbers(clock) as cache:
        find = cached(cache, ttl=10, stale=100)(source.read)
        first = asyncio.create_task(find())
        await source.begun()
        source.let_go()
        await first
        clock.now = 11
        assert await find() == 1
        await source.begun(2)
        source.value = 2
        await find.invalidate()
        after = asyncio.create_task(find())
        await source.begun(3)
        source.let_go()
        assert [await after, await find()] == [2, 2]


async def test_what_a_caller_does_to_a_value_reaches_neither_the_cache_nor_who_waited_with_them() -> None:
    async with memory_cache(list[list[int]]) as cache:

        @cached(cache)
        async def find() -> list[list[int]]:
            await settle()
            return [[1]]

        given = await asyncio.gather(find(), find(), find())
        for each in given:
            assert each == [[1]]
            each[0].append(2)
        again = await find()
        assert again == [[1]]
        again[0].append(2)
        assert await find() == [[1]]


@dataclass(frozen=True)
class Frozen:
    held: object


@dataclass
class Open:
    held: object


async def test_what_nobody_can_change_is_the_same_for_all() -> None:
    value = Frozen((1, "a", None, frozenset({2})))
    async with memory_cache(Frozen) as cache:

        @cached(cache)
        async def find() -> Frozen:
            return value

        assert await find() is value
        assert await find() is value


async def test_how_it_is_copied_can_be_said_and_what_cannot_be_is_handed_out() -> None:
    async with memory_cache(list[int]) as cache, memory_cache(object) as objects:

        @cached(cache, copy=lambda value: value)
        async def same() -> list[int]:
            return [1]

        assert await same() is await same()

        class Lock:
            def __deepcopy__(self, memo: object) -> object:
                raise TypeError

        @cached(objects)
        async def lock() -> object:
            return Lock()

        assert await lock() is await lock()


leaves = st.none() | st.integers() | st.text(max_size=3) | st.binary(max_size=3)
frozen = st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.builds(Frozen, inner), max_leaves=8)


@given(frozen, st.sampled_from([lambda x: [x], lambda x: {"a": x}, lambda x: bytearray(repr(x).encode()), Open]))
def test_a_value_is_frozen_if_and_only_if_all_it_holds_is(value: object, opened: object) -> None:
    assert is_frozen(value)
    assert callable(opened)
    for held in (opened(value), (1, opened(value)), Frozen((opened(value),))):
        assert not is_frozen(held)


async def test_everything_is_counted() -> None:
    clock, source = Clock(), Source()
    async with memory_cache(int, default_ttl=5, clock=clock) as cache:
        find = cached(cache)(source.read)
        callers = [asyncio.create_task(find()) for _ in range(3)]
        await source.begun()
        source.let_go()
        await asyncio.gather(*callers)
        await find()
        await find.invalidate()
        stats = cache.stats()

    assert (stats.loads, stats.coalesced, stats.hits, stats.misses, stats.invalidations) == (1, 2, 1, 3, 1)
    assert stats.load_seconds > 0


# An invalidate belongs behind the commit: before it, a load may read the old row, and after it nothing may store it.


async def test_after_commit_is_where_an_invalidate_belongs(database: Database) -> None:
    await database.execute("CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER NOT NULL)")
    await database.execute("INSERT INTO prices VALUES (7, 1)")
    async with numbers() as cache:

        @cached(cache)
        async def price(id: int) -> int:
            return cast("int", await database.fetch_value("SELECT price FROM prices WHERE id = $1", id))

        assert await price(7) == 1
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE prices SET price = 2 WHERE id = $1", 7)
            transaction.after_commit(lambda: price.invalidate(7))
            assert await price(7) == 1  # who asks before the commit has the old one, and it may be kept
        assert await price(7) == 2

        async def rolled_back() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("UPDATE prices SET price = 3 WHERE id = $1", 7)
                transaction.after_commit(lambda: price.invalidate(7))
                raise LookupError

        with pytest.raises(LookupError):
            await rolled_back()
        assert await price(7) == 2
        assert cache.stats().loads == 2


async def test_a_load_that_read_before_the_commit_is_not_kept_after_it(database: Database) -> None:
    await database.execute("CREATE TABLE prices (id INTEGER PRIMARY KEY, price INTEGER NOT NULL)")
    await database.execute("INSERT INTO prices VALUES (7, 1)")
    has_read, goes = asyncio.Event(), asyncio.Event()
    async with numbers() as cache:

        @cached(cache)
        async def price(id: int) -> int:
            found = cast("int", await database.fetch_value("SELECT price FROM prices WHERE id = $1", id))
            has_read.set()
            await goes.wait()
            return found

        before = asyncio.create_task(price(7))
        await has_read.wait()
        async with database.transaction() as transaction:
            await transaction.execute("UPDATE prices SET price = 2 WHERE id = $1", 7)
            transaction.after_commit(lambda: price.invalidate(7))
        goes.set()

        assert [await before, await price(7)] == [1, 2]
