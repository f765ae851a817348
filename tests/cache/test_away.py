"""Redis is away, refuses, hangs, and comes back: what a cache does without it, and what it never does afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, cast

import pytest

from heykit.cache import Cache, cached, hybrid_cache, invalidate_tags, json_codec, redis_cache
from heykit.cache._reach import Reach
from heykit.errors import RedisError
from heykit.health import Checked
from heykit.resources import Redis, redis_client
from tests.cache.gate import Deaf, Gate, until
from tests.servers import ValkeyServer

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
NUMBERS = json_codec(int)


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


@pytest.fixture
async def cache(gate: Gate, opening: Opening) -> AsyncGenerator[Cache[int]]:
    async with opening(gate, NUMBERS, prefix="a:") as opened:
        yield opened


async def status(cache: Cache[int]) -> str:
    assert isinstance(cache, Checked)
    return (await cache.health()).status


async def back(cache: Cache[int]) -> None:
    async with asyncio.timeout(5):
        while await status(cache) != "pass":
            await asyncio.sleep(0.001)


async def test_without_redis_every_call_is_loaded_and_none_fails(gate: Gate, cache: Cache[int]) -> None:
    loads = iter(range(100))

    @cached(cache, ttl=60)
    async def find() -> int:
        return next(loads)

    await cache.set("x", 1)
    assert await find() == 0
    gate.is_shut = True
    await cache.get("other")  # it is noticed, where memory does not answer

    assert [await find() for _ in range(3)][-1] > 0
    await cache.set("y", 1)
    await cache.set_many({"z": 1})
    assert [await cache.get("y"), await cache.get_many(["z"]), await cache.delete("z")] == [None, {}, False]
    await cache.clear()
    await find.invalidate()
    await invalidate_tags(cache, "tag")
    assert await status(cache) == "warn"
    assert cache.stats().errors >= 1

    gate.is_shut = False
    await back(cache)
    await cache.set("y", 2)
    assert await cache.get("y") == 2


async def test_nobody_asks_while_it_is_known_to_be_away_but_for_one_look_now_and_then(
    gate: Gate, cache: Cache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._reach._LOOK_EVERY", 0.05)
    gate.is_shut = True
    await cache.get("x")
    gate.asked.clear()
    for _ in range(100):
        await cache.get("x")
        await cache.set("x", 1)
    await asyncio.sleep(0.2)

    assert set(gate.asked) == {"INFO"}
    assert len(gate.asked) <= 6


async def test_what_could_not_be_dropped_is_not_served_when_redis_is_back(gate: Gate, cache: Cache[int]) -> None:
    value = 1

    @cached(cache, ttl=60, tags=("all",))
    async def find(id: int) -> int:
        return value

    await cache.set_many({"deleted": 1, "set": 1})
    assert [await find(1), await find(2)] == [1, 1]
    gate.is_shut = True
    value = 2
    await find.invalidate(1)
    await cache.delete("deleted")
    await cache.set("set", 2)
    await invalidate_tags(cache, "all")
    gate.is_shut = False

    while await status(cache) != "pass":
        assert [await find(1), await find(2)] == [2, 2]
        assert await cache.get("deleted") is None
        assert await cache.get("set") is None
        await asyncio.sleep(0.001)
    assert [await find(1), await find(2), await cache.get("deleted"), await cache.get("set")] == [2, 2, None, None]


async def test_what_another_process_could_not_drop_is_not_served_either(
    gate: Gate, redis: Redis, opening: Opening
) -> None:
    other_gate = Gate(redis)
    async with opening(gate, NUMBERS, prefix="a:") as one, opening(other_gate, NUMBERS, prefix="a:") as two:
        await one.set("x", 1)
        gate.is_shut = other_gate.is_shut = True
        await one.delete("x")
        await two.get("y")
        other_gate.is_shut = False
        await asyncio.sleep(0.01)
        assert await two.get("x") is None
        gate.is_shut = False  # a little later than the other

        await asyncio.gather(back(one), back(two))
        assert [await one.get("x"), await two.get("x")] == [None, None]


async def test_what_a_process_owed_that_is_no_more_is_not_served_by_a_server_started_anew(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening
) -> None:
    async with redis_client(redis_url) as redis:
        async with opening(redis, NUMBERS, prefix="a:") as one, opening(redis, NUMBERS, prefix="a:") as two:
            await one.set("x", 1)
            assert await two.get("x") == 1
            valkey_server.kill()
            await one.delete("x")
        async with opening(redis, NUMBERS, prefix="a:") as three:
            valkey_server.start()
            await back(three)
            assert valkey_server.say("EXISTS a:x") == b":1"  # it is there still
            assert await three.get("x") is None


async def test_what_has_come_back_with_a_server_started_anew_is_not_served_to_new_processes(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening
) -> None:
    async with redis_client(redis_url) as redis:
        async with opening(redis, NUMBERS, prefix="a:") as one:
            await one.set("x", 1)
        valkey_server.kill()
        valkey_server.start()
        async with opening(redis, NUMBERS, prefix="a:") as two:
            await back(two)
            assert await two.get("x") is None
            await two.set("x", 2)
        async with opening(redis, NUMBERS, prefix="a:") as three:
            assert await three.get("x") == 2


async def test_who_hangs_is_waited_for_once_and_not_for_long(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening
) -> None:
    async with (
        redis_client(redis_url, command_timeout=5) as redis,
        opening(redis, NUMBERS, prefix="a:", timeout=0.2) as cache,
    ):
        await cache.set("x", 1)
        valkey_server.freeze()
        try:
            async with asyncio.timeout(0.2 + 1):
                await asyncio.gather(*(cache.get("x") for _ in range(50)))
            async with asyncio.timeout(0.1):
                for _ in range(100):
                    assert await cache.get("x") is None
                    await cache.delete("x")
        finally:
            valkey_server.thaw()
        await back(cache)
        assert await cache.get("x") is None


async def test_a_server_that_takes_no_more_drops_what_is_not_true_any_more(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set_many({"x": 1, "y": 1})
        await redis.execute("CONFIG", "SET", "maxmemory", "1")
        try:
            await cache.set("x", 2)
            assert await cache.get("x") is None
            assert await status(cache) == "warn"
            assert await cache.get("y") == 1
        finally:
            await redis.execute("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: not cache_owes(cache))
        await cache.set("x", 3)
        assert await cache.get("x") == 3


def reach_of(cache: Cache[int]) -> Reach:
    reach = getattr(getattr(cache, "_far", cache), "reach", None)
    assert isinstance(reach, Reach)
    return reach


def cache_owes(cache: Cache[int]) -> bool:
    return bool(reach_of(cache)._owed)


async def test_a_user_who_may_not_ask_about_the_server_has_a_cache(gate: Gate, opening: Opening) -> None:
    gate.refused = {"INFO"}
    async with opening(gate, NUMBERS, prefix="a:") as one, opening(gate, NUMBERS, prefix="a:") as two:
        await one.set("x", 1)
        assert await two.get("x") == 1
        gate.is_shut = True
        await two.set("x", 2)
        gate.is_shut = False
        await back(two)
        assert await two.get("x") is None  # it cannot be told from another server


async def test_it_opens_without_redis_and_has_it_when_it_is_there(gate: Gate, opening: Opening) -> None:
    gate.is_shut = True
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        assert await cache.get("x") is None
        assert await status(cache) == "warn"
        gate.is_shut = False
        await back(cache)
        await cache.set("x", 1)
        assert await cache.get("x") == 1


async def test_a_cancelled_invalidate_is_done_nevertheless(gate: Gate, cache: Cache[int]) -> None:
    await cache.set("x", 1)
    gate.holds.clear()
    deleting = asyncio.create_task(cache.delete("x"))
    await asyncio.sleep(0.01)
    deleting.cancel()
    await asyncio.wait([deleting])
    gate.holds.set()

    assert deleting.cancelled()
    assert await cache.get("x") is None
    await until(lambda: not cache_owes(cache))
    assert await gate.redis.execute("EXISTS", "a:x") == 0


async def test_too_much_that_is_owed_is_all_dropped(
    gate: Gate, cache: Cache[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._reach._MOST_OWED", 50)
    await cache.set("untouched", 1)
    gate.is_shut = True
    for number in range(100):
        await cache.delete(str(number))
    assert len(reach_of(cache)._owed) <= 52
    gate.is_shut = False
    await back(cache)

    assert await cache.get("untouched") is None


async def test_what_is_owed_when_it_closes_is_told(
    gate: Gate, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        gate.is_shut = True
        await cache.delete("x")
    assert "keeps 2 values that have changed until their time is over" in caplog.text

    before = asyncio.all_tasks()
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        await cache.delete("x")
    assert asyncio.all_tasks() <= before


async def test_an_answer_that_was_lost_is_owed(gate: Gate, redis: Redis, opening: Opening) -> None:
    """A command may have been done although its answer never came."""
    async with opening(gate, NUMBERS, prefix="a:", timeout=0.05) as cache:
        gate.held_after.clear()
        await cache.set("x", 1)
        gate.held_after.set()
        await back(cache)
        assert await cache.get("x") is None
        assert await redis.execute("EXISTS", "a:x") == 0


async def test_memory_serves_nothing_that_it_is_not_told_of(redis: Redis, valkey_server: ValkeyServer) -> None:
    async with (
        hybrid_cache(redis, NUMBERS, prefix="a:") as cache,
        redis_cache(Deaf(redis), NUMBERS, prefix="a:") as other,
    ):
        await other.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        assert cache.stats().l1_hits == 1
        valkey_server.say("CLIENT KILL TYPE pubsub")
        await until(lambda: cache.stats().size == 0)
        await other.set("x", 2)
        await back(cache)
        assert [await cache.get("x"), await cache.get("x")] == [2, 2]
        assert cache.stats().l1_hits == 2


async def test_who_may_not_listen_has_a_cache_without_memory(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(*prefixes: str) -> object:
        raise RedisError("CLIENT is refused")

    monkeypatch.setattr(gate, "invalidations", refusing)
    began = time.monotonic()
    async with hybrid_cache(gate, NUMBERS, prefix="a:") as cache:
        assert time.monotonic() - began < 2
        await until(lambda: gate.asked)
        await asyncio.sleep(0.05)
        await cache.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        assert cache.stats().l1_hits == 0
        assert await status(cache) == "warn"
