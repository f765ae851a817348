from __future__ import annotations

import math
from typing import cast, get_args

import pytest

from heykit.cache import Cache, Strategy, memory_cache
from heykit.errors import NotOpen
from heykit.health import Checked
from tests.cache.model import Clock

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)


async def keep(cache: Cache[int], *keys: str) -> None:
    for key in keys:
        await cache.set(key, 1)


async def kept(cache: Cache[int], keys: str) -> str:
    return "".join(await cache.get_many(keys))


async def test_a_value_is_got_as_it_was_set() -> None:
    value = object()
    async with memory_cache(object) as cache:
        await cache.set("a", value)

        assert await cache.get("a") is value


async def test_it_need_not_be_awaited() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=10, strategy="lru", clock=clock) as cache:
        cache.set_nowait("a", 1)
        cache.set_nowait("b", 2, ttl=5)
        assert [await cache.get("a"), cache.get_nowait("b"), cache.get_nowait("c")] == [1, 2, None]
        assert cache.get_nowait("c", "missing") == "missing"
        clock.now = 5
        assert [cache.get_nowait("a"), cache.get_nowait("b")] == [1, None]
        assert (cache.stats().hits, cache.stats().misses, cache.stats().expiries) == (3, 3, 1)
        with pytest.raises(ValueError, match="ttl must be more than 0"):
            cache.set_nowait("a", 1, ttl=0)
    with pytest.raises(NotOpen):
        cache.get_nowait("a")
    with pytest.raises(NotOpen):
        cache.set_nowait("a", 1)


async def test_none_is_a_value_and_told_from_a_miss_by_the_default() -> None:
    async with memory_cache(cast("type[int | None]", object)) as cache:
        await cache.set("a", None)

        assert await cache.get("a", "missing") is None
        assert await cache.get("b", "missing") == "missing"
        assert await cache.get_many(["a", "b"]) == {"a": None}


async def test_a_value_is_there_until_its_time_and_gone_at_it() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=10, clock=clock) as cache:
        await cache.set("default", 1)
        await cache.set("own", 1, ttl=5)
        await cache.set("forever", 1, ttl=math.inf)

        clock.now = math.nextafter(5, 0)
        assert await cache.get("own") == 1
        clock.now = 5
        assert await cache.get("own") is None
        clock.now = 10
        assert await cache.get_many(["default", "own", "forever"]) == {"forever": 1}


async def test_delete_says_whether_there_was_a_value() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=5, clock=clock) as cache:
        await keep(cache, "a", "b")
        assert [await cache.delete("a"), await cache.delete("a")] == [True, False]
        clock.now = 5
        assert await cache.delete("b") is False


async def test_s3fifo_keeps_what_is_used_while_a_scan_goes_through() -> None:
    async with memory_cache(int, max_size=100, strategy="s3fifo") as cache:
        used = [f"used-{number}" for number in range(50)]
        await keep(cache, *used)
        for _ in range(3):
            await cache.get_many(used)
        await keep(cache, *(f"scanned-{number}" for number in range(10_000)))
        assert len(await cache.get_many(used)) == 50


async def test_lru_lets_the_one_not_used_for_longest_go() -> None:
    async with memory_cache(int, max_size=2, strategy="lru") as cache:
        await keep(cache, "a", "b")
        await cache.get("a")
        await keep(cache, "c")
        assert await kept(cache, "abc") == "ac"

        await keep(cache, "a", "d")
        assert await kept(cache, "abcd") == "ad"


async def test_lfu_lets_the_one_used_least_go() -> None:
    async with memory_cache(int, max_size=2, strategy="lfu") as cache:
        await keep(cache, "a", "b")
        await cache.get_many(["a"])
        await cache.get_many(["a", "b"])
        await keep(cache, "c")
        assert await kept(cache, "abc") == "ac"

        await keep(cache, "d")
        assert await kept(cache, "abcd") == "ad"


async def test_fifo_lets_the_one_that_came_first_go() -> None:
    async with memory_cache(int, max_size=2, strategy="fifo") as cache:
        await keep(cache, "a", "b", "a")
        await cache.get("a")
        await keep(cache, "c")

        assert await kept(cache, "abc") == "bc"


async def test_ttl_lets_the_one_that_expires_soonest_go_and_what_never_does_last() -> None:
    async with memory_cache(int, max_size=3, strategy="ttl") as cache:
        await cache.set("a", 1)
        await cache.set("b", 1, ttl=20)
        await cache.set("c", 1, ttl=10)
        await keep(cache, "d")
        assert await kept(cache, "abcd") == "abd"

        await keep(cache, "e", "f")
        assert await kept(cache, "abcdef") == "def"


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_has_expired_goes_before_anything_that_lives(strategy: Strategy) -> None:
    clock = Clock()
    async with memory_cache(int, max_size=3, strategy=strategy, clock=clock) as cache:
        await keep(cache, "a")
        await cache.set("b", 1, ttl=5)
        await keep(cache, "c")
        clock.now = 5
        await keep(cache, "d")

        assert await kept(cache, "abcd") == "acd"
        assert cache.stats().evictions == 0


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf])
async def test_a_time_that_is_not_above_zero_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="default_ttl must be more than 0 seconds"):
        memory_cache(int, default_ttl=ttl)
    async with memory_cache(int) as cache:
        with pytest.raises(ValueError, match="ttl must be more than 0 seconds"):
            await cache.set("a", 1, ttl=ttl)
        with pytest.raises(ValueError, match="ttl must be more than 0 seconds"):
            await cache.set_many({"a": 1}, ttl=ttl)
        assert await cache.get("a") is None


@pytest.mark.parametrize("size", [0, -1, math.nan])
def test_a_size_below_one_is_refused(size: float) -> None:
    with pytest.raises(ValueError, match="max_size must be 1 or more"):
        memory_cache(int, max_size=cast("int", size))


@pytest.mark.parametrize("jitter", [-0.1, 1.0, math.nan])
def test_a_jitter_that_is_no_share_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter must be 0 or more and below 1"):
        memory_cache(int, jitter=jitter)


async def test_with_jitter_what_was_set_together_does_not_expire_together() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=100, jitter=0.2, clock=clock) as cache:
        await keep(cache, *map(str, range(200)))
        clock.now = 79.9
        assert len(await cache.get_many(map(str, range(200)))) == 200
        clock.now = 90
        assert 50 < len(await cache.get_many(map(str, range(200)))) < 150
        clock.now = 100
        assert await cache.get_many(map(str, range(200))) == {}


async def test_weights_bound_what_is_kept_and_what_is_heavier_than_all_is_not() -> None:
    async with memory_cache(str, max_size=10, strategy="fifo", weigh=len) as cache:
        await cache.set("a", "12345")
        await cache.set("b", "12345")
        await cache.set("c", "1")
        assert [*await cache.get_many("abc")] == ["b", "c"]
        assert (cache.stats().size, cache.stats().weight) == (2, 6)

        await cache.set("b", "x" * 11)  # the old value is not true any more either
        assert [*await cache.get_many("abc")] == ["c"]
        assert cache.stats().weight == 1


@pytest.mark.parametrize("weight", [-1, math.nan])
async def test_a_weight_that_is_none_is_refused_and_nothing_has_changed(weight: float) -> None:
    async with memory_cache(int, weigh=lambda _: cast("int", weight)) as cache:
        with pytest.raises(ValueError, match="weigh must give 0 or more"):
            await cache.set("a", 1)
        assert cache.stats().size == 0


async def test_a_key_of_a_megabyte_is_a_key() -> None:
    async with memory_cache(int) as cache:
        await cache.set("x" * 1024 * 1024, 1)
        assert await cache.get("x" * 1024 * 1024) == 1


def test_an_unknown_strategy_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ValueError, match="one of s3fifo, lru, lfu, fifo, ttl, not 'newest'"):
        memory_cache(int, strategy=cast("Strategy", "newest"))


async def test_a_closed_cache_says_so_and_holds_nothing() -> None:
    async with memory_cache(int) as cache:
        await keep(cache, "a")

    for use in (cache.get("a"), cache.set("a", 1), cache.delete("a"), cache.clear(), cache.get_many("a")):
        with pytest.raises(NotOpen, match="async with"):
            await use
    with pytest.raises(NotOpen):
        await cache.set_many({"a": 1})
    assert cache.stats().size == 0
    assert (await cache.health()).status == "fail"


async def test_health_is_that_of_a_cache_with_its_figures() -> None:
    async with memory_cache(int, max_size=7) as cache:
        await keep(cache, "a")
        await cache.get_many(["a", "a", "b"])
        assert isinstance(cache, Checked)
        health = await cache.health()

    assert (health.status, health.kind) == ("pass", "cache")
    assert health.figures.items() >= {"hits": 1, "misses": 1, "size": 1, "max_size": 7, "evictions": 0}.items()
