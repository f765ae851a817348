"""A cache over a Redis that is killed, hangs, and loses the connection that tells what has changed."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, cast

import anyio
import pytest

from heykit.cache import Cache, cached, hybrid_cache, json_codec, redis_cache
from heykit.resources import redis_client
from tests.cache.gate import Deaf
from tests.chaos.load import FULL, Load, Times
from tests.servers import ValkeyServer

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
NUMBERS = json_codec(int)
KEYS = 200


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


class Shop:
    """What loaders read, and what is said of how old an answer may be."""

    def __init__(self) -> None:
        self.prices = dict.fromkeys(range(KEYS), 0)
        self.told = dict(self.prices)
        self.loads: list[float] = []

    async def price(self, id: int) -> int:
        price = self.prices[id]
        self.loads.append(time.monotonic())
        await anyio.sleep(0.002)
        return price


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_redis_away_fails_nobody_and_nobody_is_served_what_has_changed(
    valkey: ValkeyServer, opening: Opening, how: str
) -> None:
    times, shop, chance = Times(), Shop(), random.Random(7)
    asked: list[float] = []
    async with (
        redis_client(valkey.url(), max_connections=10) as redis,
        opening(redis, NUMBERS, prefix="shop:", default_ttl=600) as cache,
    ):
        price = cached(cache)(shop.price)

        async def ask() -> None:
            id = chance.randrange(KEYS)
            least = shop.told[id]
            asked.append(time.monotonic())
            assert await price(id) >= least, "it was told that this is not true any more"
            if chance.random() < 0.02:
                changed = shop.prices[id] = shop.prices[id] + 1
                await price.invalidate(id)
                shop.told[id] = max(changed, shop.told[id])

        load = Load(ask)
        if how == "killed":
            await load.while_(lambda: times.kill_and_restart(valkey))
        else:
            await load.while_(lambda: times.freeze_and_thaw(valkey))
            await load.while_(lambda: anyio.sleep(2.0))
    assert load.failed == [], load.failed[:3]
    assert load.longest < 1.0

    def ratio(start: float, end: float) -> float:
        loads = sum(start <= at < end for at in shop.loads)
        return 1 - loads / sum(start <= at < end for at in asked)

    if FULL or how == "frozen":
        usual = ratio(times.broken - 0.3, times.broken)
        last = min(times.up + 5, load.calls[-1].ended)
        assert usual > 0.8
        assert ratio(last - 0.5, last) >= 0.95 * usual


async def test_no_stale_value_a_tenth_of_a_second_after_the_telling_connection_is_killed(
    valkey: ValkeyServer,
) -> None:
    async with (
        redis_client(valkey.url()) as redis,
        hybrid_cache(redis, NUMBERS, prefix="a:") as cache,
        redis_cache(Deaf(redis), NUMBERS, prefix="a:") as other,
    ):
        for turn in range(100 if FULL else 10):
            await other.set("x", turn)
            async with asyncio.timeout(5):
                while cache.stats().size == 0:  # until it is heard again, and the value is in memory
                    await cache.get("x")
                    await asyncio.sleep(0.001)
            assert await cache.get("x") == turn
            assert cache.stats().l1_hits == turn + 1
            # What kills the connection says how many it has killed; the value changes while nobody hears of it.
            assert await redis.execute("CLIENT", "KILL", "TYPE", "pubsub") == 1
            await other.set("x", turn + 1_000_000)
            await asyncio.sleep(0.1)
            assert await cache.get("x") in (turn + 1_000_000, None)


async def test_no_value_from_memory_two_seconds_after_the_server_hangs(valkey: ValkeyServer) -> None:
    async with redis_client(valkey.url()) as redis, hybrid_cache(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        assert cache.stats().size == 1
        valkey.freeze()
        await asyncio.sleep(2)
        assert await cache.get("x") is None
        assert cache.stats().size == 0
