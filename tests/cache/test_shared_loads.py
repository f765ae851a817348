"""Loads over Redis: two caches with one prefix are two processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha1
from typing import TypeAlias, cast

import pytest

from heykit.cache import Cache, Cached, cached, hybrid_cache, invalidate_tags, json_codec, redis_cache
from heykit.resources import Redis
from tests.cache.gate import Gate, until

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
Pair: TypeAlias = tuple[Cache[int], Cache[int]]
NUMBERS = json_codec(int)


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


@pytest.fixture
async def caches(redis: Redis, opening: Opening) -> AsyncGenerator[Pair]:
    async with opening(redis, NUMBERS, prefix="a:") as one, opening(redis, NUMBERS, prefix="a:") as two:
        yield one, two


class Source:
    """What loaders read: a read brings what stood when it began, once it is let go."""

    def __init__(self) -> None:
        self.value = 1
        self.held: list[asyncio.Event] = []

    async def read(self, id: int = 7) -> int:
        seen, gate = self.value, asyncio.Event()
        self.held.append(gate)
        await gate.wait()
        return seen

    async def begun(self, reads: int) -> None:
        await until(lambda: len(self.held) >= reads)
        assert len(self.held) == reads

    def let_go(self) -> None:
        for each in self.held:
            each.set()


def shared(caches: Pair, source: Source) -> tuple[Cached[[int], int], Cached[[int], int]]:
    one, two = (cached(cache, ttl=60, tags=("numbers",))(source.read) for cache in caches)
    return one, two


async def test_all_who_ask_in_all_processes_are_one_load(caches: Pair) -> None:
    source = Source()
    finds = shared(caches, source)
    callers = [asyncio.create_task(find(7)) for find in finds for _ in range(250)]
    await source.begun(1)
    await asyncio.sleep(0.05)
    await source.begun(1)
    source.let_go()

    assert await asyncio.gather(*callers) == [1] * 500
    assert [cache.stats().loads for cache in caches] in ([1, 0], [0, 1])
    assert [cache.stats().coalesced for cache in caches] == [249, 249]


async def test_an_error_is_not_kept_and_the_other_process_tries_itself(caches: Pair) -> None:
    answers: list[int | Exception] = [LookupError("away"), 5]

    async def read(id: int) -> int:
        await asyncio.sleep(0.02)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    one, two = (cached(cache, ttl=60)(read) for cache in caches)
    first = asyncio.create_task(one(7))
    await asyncio.sleep(0.005)
    second = asyncio.create_task(two(7))

    with pytest.raises(LookupError, match="away"):
        await first
    assert await second == 5
    assert await one(7) == 5


async def test_a_load_that_read_before_an_invalidate_elsewhere_is_never_kept(caches: Pair) -> None:
    source = Source()
    one, two = shared(caches, source)
    before = asyncio.create_task(one(7))
    await source.begun(1)
    source.value = 2
    await two.invalidate(7)
    source.let_go()
    assert await before == 1

    for find in (one, two):
        again = asyncio.create_task(find(7))
        await asyncio.sleep(0.02)
        source.let_go()
        assert await again == 2


async def test_who_asks_after_an_invalidate_elsewhere_does_not_join_the_load_from_before_it(caches: Pair) -> None:
    source = Source()
    one, two = shared(caches, source)
    before = asyncio.create_task(one(7))
    await source.begun(1)
    source.value = 2
    await two.invalidate(7)
    after = asyncio.create_task(one(7))
    await source.begun(2)
    source.let_go()

    assert [await before, await after, await one(7), await two(7)] == [1, 2, 2, 2]


async def test_a_tag_drops_what_is_kept_and_what_is_loaded_in_every_process(caches: Pair) -> None:
    source = Source()
    one, two = shared(caches, source)
    kept = asyncio.create_task(one(1))
    await source.begun(1)
    source.let_go()
    assert [await kept, await two(1)] == [1, 1]

    before = asyncio.create_task(one(7))
    await source.begun(2)
    source.value = 2
    await invalidate_tags(caches[1], "numbers", "others")
    after = asyncio.create_task(one(7))
    again = asyncio.create_task(two(1))
    await asyncio.sleep(0.02)
    source.let_go()
    await asyncio.sleep(0.02)
    source.let_go()

    assert [await before, await after, await again] == [1, 2, 2]
    assert [await one(7), await one(1)] == [2, 2]


async def test_other_tags_leave_it_where_it_is(caches: Pair) -> None:
    loads = iter(range(1, 10))

    async def read(id: int) -> int:
        return next(loads)

    one, two = (cached(cache, ttl=60, tags=lambda id: (f"number:{id}",))(read) for cache in caches)
    assert [await one(1), await two(1), await one(2)] == [1, 1, 2]
    await invalidate_tags(caches[0], "number:2")

    assert [await one(1), await two(1), await two(2)] == [1, 1, 3]


async def test_a_value_set_by_hand_is_not_replaced_by_a_load_from_before(caches: Pair) -> None:
    source = Source()
    one, two = (cached(cache, key=lambda id: f"n{id}")(source.read) for cache in caches)
    before = asyncio.create_task(one(7))
    await source.begun(1)
    await caches[1].set("n7", 5)
    source.let_go()

    assert await before == 1
    await asyncio.sleep(0.01)
    assert [await one(7), await two(7)] == [5, 5]


async def test_a_load_that_takes_longer_than_a_claim_lasts_keeps_it(
    redis: Redis, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._remote.LOCK", 0.06)
    monkeypatch.setattr("heykit.cache._redis.LOCK", 0.06)
    source = Source()
    async with opening(redis, NUMBERS, prefix="a:") as first, opening(redis, NUMBERS, prefix="a:") as second:
        one, two = shared((first, second), source)
        callers = [asyncio.create_task(one(7)), asyncio.create_task(two(7))]
        await asyncio.sleep(0.3)
        await source.begun(1)
        source.let_go()
        assert await asyncio.gather(*callers) == [1, 1]


async def test_when_whoever_loads_is_gone_another_takes_over(redis: Redis, caches: Pair) -> None:
    source = Source()
    two = cached(caches[1], ttl=60)(source.read)
    key = b"a:#lock:tests.cache.test_shared_loads.Source.read(7)"
    generation = cast("bytes", await redis.execute("GET", "a:#generation"))
    await redis.execute("SET", key, b"a victim" + sha1(generation).hexdigest().encode(), "PX", 150)
    caller = asyncio.create_task(two(7))
    await asyncio.sleep(0.05)
    assert source.held == []
    await source.begun(1)
    source.let_go()

    assert await caller == 1
    assert await redis.execute("EXISTS", key) == 0


async def test_a_claim_from_before_the_generation_changed_keeps_nobody_waiting(redis: Redis, caches: Pair) -> None:
    source = Source()
    one, two = shared(caches, source)
    before = asyncio.create_task(one(7))
    await source.begun(1)
    await redis.execute("SET", "a:#generation", "another!and a run")
    after = asyncio.create_task(two(7))
    await source.begun(2)
    source.let_go()

    assert [await before, await after] == [1, 1]
    assert await redis.execute("EXISTS", "a:#lock:tests.cache.test_shared_loads.Source.read(7)") == 0


async def test_the_one_who_asked_first_may_leave(caches: Pair) -> None:
    source = Source()
    one, two = shared(caches, source)
    leader = asyncio.create_task(one(7))
    await source.begun(1)
    others = [asyncio.create_task(find(7)) for find in (one, two) for _ in range(50)]
    await asyncio.sleep(0.01)
    leader.cancel()
    await asyncio.sleep(0.01)
    source.let_go()

    assert await asyncio.gather(*others) == [1] * 100
    assert len(source.held) == 1


async def test_a_stale_value_is_given_while_one_process_loads_the_next(redis: Redis, caches: Pair) -> None:
    source = Source()
    one, two = (cached(cache, ttl=100, stale=100)(source.read) for cache in caches)
    first = asyncio.create_task(one(7))
    await source.begun(1)
    source.let_go()
    assert await first == 1
    key = "a:tests.cache.test_shared_loads.Source.read(7)"
    assert 199 < cast("int", await redis.execute("PTTL", key)) / 1000 <= 200

    await redis.execute("PEXPIRE", key, 90_000)
    await asyncio.sleep(0.01)
    source.value = 2
    assert [await find(7) for find in (one, two) for _ in range(20)] == [1] * 40
    await asyncio.sleep(0.02)
    await source.begun(2)
    source.let_go()
    await asyncio.sleep(0.02)

    assert [await one(7), await two(7)] == [2, 2]
    assert 199 < cast("int", await redis.execute("PTTL", key)) / 1000 <= 200


async def test_no_claim_is_left_behind(redis: Redis, caches: Pair) -> None:
    async def read(id: int) -> int:
        await asyncio.sleep(0.001)
        if id % 3 == 0:
            raise LookupError
        return id

    one, two = (cached(cache, ttl=60)(read) for cache in caches)
    callers = [asyncio.create_task(find(id)) for id in range(30) for find in (one, two)]
    await asyncio.sleep(0.002)
    for caller in callers[::4]:
        caller.cancel()
    await asyncio.wait(callers)
    for caller in callers:
        assert caller.cancelled() or caller.exception() is None or isinstance(caller.exception(), LookupError)
    await asyncio.sleep(0.1)

    assert [key for key in cast("list[bytes]", await redis.execute("KEYS", "*")) if b"#lock" in key] == []


async def test_what_a_caller_does_to_a_value_reaches_nobody(redis: Redis) -> None:
    loads = 0

    async with hybrid_cache(redis, json_codec(dict[str, list[int]]), prefix="a:") as cache:

        @cached(cache, ttl=60)
        async def find() -> dict[str, list[int]]:
            nonlocal loads
            loads += 1
            await asyncio.sleep(0.01)
            return {"a": [1]}

        for given in await asyncio.gather(find(), find(), find()):
            given["a"].append(2)
        for _ in range(3):
            given = await find()
            assert given == {"a": [1]}
            given["a"].append(2)
        key = "tests.cache.test_shared_loads.test_what_a_caller_does_to_a_value_reaches_nobody.<locals>.find()"
        for _ in range(3):
            kept = await cache.get(key)
            assert kept == {"a": [1]}
            kept["a"].append(2)
            kept = (await cache.get_many([key]))[key]
            assert kept == {"a": [1]}
            kept["a"].append(2)
    assert loads == 1


async def test_a_read_on_its_way_when_its_key_is_dropped_is_not_put_in_memory(gate: Gate, redis: Redis) -> None:
    async with hybrid_cache(gate, NUMBERS, prefix="a:") as cache, redis_cache(redis, NUMBERS, prefix="a:") as other:
        await other.set("x", 1)
        gate.held_after.clear()
        reading = asyncio.create_task(cache.get("x"))
        await asyncio.sleep(0.02)
        await other.set("x", 2)
        await asyncio.sleep(0.02)  # the message comes before the answer
        gate.held_after.set()

        assert await reading == 1
        assert cache.stats().size == 0
        assert await cache.get("x") == 2


async def test_memory_never_outlives_redis(redis: Redis) -> None:
    clock = [0.0]
    async with hybrid_cache(redis, NUMBERS, prefix="a:", clock=lambda: clock[0]) as cache:
        await cache.set("x", 1, ttl=100)
        await redis.execute("PEXPIRE", "a:x", 50_000)
        await asyncio.sleep(0.01)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        assert cache.stats().l1_hits == 1
        clock[0] = 50.0
        assert await cache.get("x") == 1  # once more in Redis, which knows
        assert cache.stats().l2_hits == 2
