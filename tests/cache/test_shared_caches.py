"""What a cache in Redis does, and one with memory in front of it just the same."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TypeAlias, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heykit.cache import Cache, Codec, bytes_codec, cached, hybrid_cache, json_codec, optional, redis_cache
from heykit.errors import NotOpen
from heykit.health import Checked, Health
from heykit.resources import Redis
from tests.cache.gate import Gate, until

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
NUMBERS = json_codec(int)


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


async def test_a_value_is_there_for_all_who_have_the_prefix_and_for_nobody_else(redis: Redis, opening: Opening) -> None:
    async with (
        opening(redis, NUMBERS, prefix="a:") as one,
        opening(redis, NUMBERS, prefix="a:") as two,
        opening(redis, NUMBERS, prefix="b:") as other,
    ):
        await one.set("x", 1)

        assert [await one.get("x"), await two.get("x"), await other.get("x", -1)] == [1, 1, -1]


async def test_none_is_a_value_and_told_from_a_miss_by_the_default(redis: Redis) -> None:
    async with hybrid_cache(redis, optional(NUMBERS), prefix="a:") as cache:
        await cache.set("x", None)

        for _ in range(2):
            assert await cache.get("x", "missing") is None
        assert await cache.get("y", "missing") == "missing"


async def test_a_value_lives_as_long_as_it_was_given_or_as_the_default_says(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:", default_ttl=100) as cache:
        await cache.set("default", 1)
        await cache.set("own", 1, ttl=5.5)
        await cache.set("forever", 1, ttl=math.inf)
        await cache.set("long", 1, ttl=1e300)
        await cache.set("short", 1, ttl=1e-9)

        left = [await redis.execute("PTTL", f"a:{key}") for key in ("default", "own", "forever", "long")]
        assert [round(cast("int", each) / 1000, 1) for each in left] == [100, 5.5, -0.0, -0.0]
        while await redis.execute("EXISTS", "a:short"):
            await asyncio.sleep(0.001)
        assert await cache.get("short") is None


async def test_delete_says_whether_there_was_a_value(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        await cache.get("x")

        assert [await cache.delete("x"), await cache.delete("x"), await cache.get("x")] == [True, False, None]


async def test_many_are_got_and_set_in_few_commands(gate: Gate, opening: Opening) -> None:
    values = {f"{number}": number for number in range(2000)}
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        gate.asked.clear()
        await cache.set_many(values, ttl=60)
        found = await cache.get_many([*values, "missing", "1"])

        assert found == values
        assert len(gate.asked) == 20 + 21
        assert cache.stats().hits == 2000
        await cache.set_many({})
        assert await cache.get_many([]) == {}


async def test_clear_takes_all_under_the_prefix_and_nothing_else(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a*[x]:") as cache, opening(redis, NUMBERS, prefix="ab[x]:") as other:
        await cache.set_many({str(number): number for number in range(1500)})
        await other.set("x", 1)
        await cache.get("1")
        await cache.clear()

        assert await cache.get("1") is None
        assert await other.get("x") == 1
        keys = cast("list[bytes]", await redis.execute("KEYS", "*"))
        assert [key for key in keys if key.startswith(b"a*")] == []
        await cache.set("1", 2)
        assert await cache.get("1") == 2


@pytest.mark.parametrize("key", ["", "x" * 1024 * 1024, "#generation", "#tag:x", "#:", "a\0b\r\n", "é" * 300, "\ud800"])
async def test_any_text_is_a_key(redis: Redis, opening: Opening, key: str) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache, opening(redis, NUMBERS, prefix="a:") as other:
        await cache.set(key, 1)
        assert [await cache.get(key), await other.get(key), await other.get_many([key])] == [1, 1, {key: 1}]
        await cache.set(key, 2)
        await other.set("z", 1)
        await asyncio.sleep(0.01)
        assert [await cache.get(key), await other.get(key)] == [2, 2]
        assert await cache.delete(key) is True
        assert await cache.get(key) is None
        longest = max(cast("list[bytes]", await redis.execute("KEYS", "*")), key=len)
        assert len(longest) < 1000


@pytest.mark.parametrize(
    "data", [b"", b"5", b"\x93hk\x01", b"\x93hk\x01\x01", b"\x93hk\x01\x00=[1]", b"\x80\x04K\x05.", b"x" * 10_000]
)
async def test_bytes_that_are_not_ours_are_a_miss(redis: Redis, opening: Opening, data: bytes) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("other", 1)
        await redis.execute("SET", "a:x", data)

        assert [await cache.get("x"), await cache.get_many(["x", "other"])] == [None, {"other": 1}]
        await cache.set("x", 1)
        assert await cache.get("x") == 1


async def test_what_another_codec_wrote_is_a_miss_and_told_once(
    redis: Redis, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    async with opening(redis, json_codec(str), prefix="a:") as texts, opening(redis, NUMBERS, prefix="a:") as cache:
        for key in ("x", "y"):
            await texts.set(key, cast("int", "secret"))
            assert await cache.get(key) is None
        assert cache.stats().errors == 2
    assert caplog.text.count("cannot be read, and is loaded anew") == 1
    assert "secret" not in caplog.text


async def test_a_key_that_holds_no_text_is_a_miss_and_can_be_written(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await redis.execute("RPUSH", "a:x", "1")

        assert await cache.get("x") is None
        assert (await health_of(cache)).status == "pass"
        await cache.set("x", 1)
        assert await cache.get("x") == 1


async def test_set_raises_what_the_codec_raises_and_changes_nothing(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        with pytest.raises(ValueError, match="int"):
            await cache.set_many({"y": 2, "x": cast("int", "text")})

        assert await cache.get_many(["x", "y"]) == {"x": 1}


@pytest.mark.parametrize("ttl", [0, -1, math.nan])
async def test_a_time_that_is_not_above_zero_is_refused(redis: Redis, opening: Opening, ttl: float) -> None:
    with pytest.raises(ValueError, match="default_ttl must be more than 0"):
        opening(redis, NUMBERS, prefix="a:", default_ttl=ttl)
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        with pytest.raises(ValueError, match="ttl must be more than 0"):
            await cache.set("x", 1, ttl=ttl)


def test_a_prefix_that_tells_nothing_apart_is_refused(opening: Opening) -> None:
    with pytest.raises(ValueError, match="prefix must not be empty"):
        opening(cast("Redis", None), NUMBERS, prefix="")


def test_a_time_limit_that_makes_no_sense_is_refused(opening: Opening) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0"):
        opening(cast("Redis", None), NUMBERS, prefix="a:", timeout=0)


async def test_a_closed_cache_says_so(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        await cache.get("x")

    for use in (cache.get("x"), cache.set("x", 1), cache.delete("x"), cache.clear(), cache.get_many(["x"])):
        with pytest.raises(NotOpen, match="async with"):
            await use
    assert (await health_of(cache)).status == "fail"


async def test_health_is_that_of_a_cache_with_its_figures(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        await cache.get_many(["x", "y"])
        health = await health_of(cache)

    assert (health.status, health.kind) == ("pass", "cache")
    assert health.figures.items() >= {"hits": 1, "misses": 1, "l2_hits": 1, "errors": 0}.items()


async def test_a_bomb_in_redis_is_a_miss_and_fills_no_memory(redis: Redis) -> None:
    async with redis_cache(redis, bytes_codec(max_size=1024 * 1024), prefix="a:") as cache:
        await cache.set("x", b"small")
        ours = cast("bytes", await redis.execute("GET", "a:x"))
        bomb = ours.removesuffix(b"=small") + b"z" + zlib.compress(bytes(100 * 1024 * 1024), 9)
        await redis.execute("SET", "a:x", bomb)
        tracemalloc.start()
        try:
            assert await cache.get("x") is None
            assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
        finally:
            tracemalloc.stop()
        assert cache.stats().errors == 1


class Broken:
    """A codec that can do nothing."""

    def encode(self, value: int) -> bytes:
        raise RuntimeError("cannot be written")

    def decode(self, data: bytes) -> int:
        raise RuntimeError("cannot be read")


async def test_a_codec_that_raises_costs_a_load_and_never_the_call(redis: Redis, opening: Opening) -> None:
    loads = iter(range(10))

    async def read() -> int:
        return next(loads)

    async with opening(redis, NUMBERS, prefix="a:") as sound, opening(redis, Broken(), prefix="a:") as broken:
        find = cached(broken, key=lambda: "x")(read)
        assert [await find(), await find()] == [0, 1]  # nothing could be written
        await sound.set("x", 7)
        assert await find() == 2  # nor can what is there be read
        assert await broken.get_many(["x"]) == {}
        assert [key for key in cast("list[bytes]", await redis.execute("KEYS", "*")) if b"#lock" in key] == []


async def test_raw_bytes_are_a_kind_of_value(redis: Redis) -> None:
    codec: Codec[bytes] = bytes_codec(compress_above=100)
    async with redis_cache(redis, codec, prefix="a:") as cache:
        await cache.set("x", b"\0" * 10_000)
        assert await cache.get("x") == b"\0" * 10_000
        assert cast("int", await redis.execute("STRLEN", "a:x")) < 200


async def health_of(cache: Cache[int]) -> Health:
    assert isinstance(cache, Checked)
    return await cache.health()


keys = st.sampled_from("abc")
doings = st.one_of(
    st.tuples(st.just("set"), st.integers(0, 2), keys, st.integers(0, 9)),
    st.tuples(st.just("set"), st.integers(0, 2), keys, st.integers(0, 9)),
    st.tuples(st.just("get"), st.integers(0, 2), keys, st.just(0)),
    st.tuples(st.just("get"), st.integers(0, 2), keys, st.just(0)),
    st.tuples(st.just("delete"), st.integers(0, 2), keys, st.just(0)),
    st.tuples(st.just("clear"), st.integers(0, 2), st.just(""), st.just(0)),
    st.tuples(st.just("many"), st.integers(0, 2), st.just(""), st.just(0)),
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(doings, max_size=25))
async def test_whoever_asks_sees_what_was_done_last(redis: Redis, history: list[tuple[str, int, str, int]]) -> None:
    """Its own doings at once; those of others when their messages have come."""
    model: dict[str, int] = {}
    async with AsyncExitStack() as stack:
        caches: list[Cache[int]] = [
            await stack.enter_async_context(hybrid_cache(redis, NUMBERS, prefix="m:", max_size=2)),
            await stack.enter_async_context(hybrid_cache(redis, NUMBERS, prefix="m:", strategy="lru")),
            await stack.enter_async_context(redis_cache(redis, NUMBERS, prefix="m:")),
        ]
        await caches[0].clear()
        last = 0
        for what, which, key, value in history:
            cache = caches[which]
            if which != last:
                await settled(redis, caches)
            last = which
            match what:
                case "set":
                    await cache.set(key, value)
                    model[key] = value
                case "get":
                    assert await cache.get(key) == model.get(key)
                case "delete":
                    assert await cache.delete(key) is (model.pop(key, None) is not None)
                case "clear":
                    await cache.clear()
                    model.clear()
                case _:
                    assert await cache.get_many("abc") == model


async def settled(redis: Redis, caches: list[Cache[int]]) -> None:
    """Wait until every message has come: one that was sent after them all has."""
    marks = []
    for at, cache in enumerate(caches[:2]):
        await caches[2].set(f"mark{at}", 1)
        await cache.get(f"mark{at}")
        marks.append((cache, cache.stats().size))
        await caches[2].delete(f"mark{at}")
    for cache, size in marks:
        await until(lambda cache=cache, size=size: cache.stats().size < size)
