"""What goes wrong with caches that are shared, each once seen to go wrong."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from hashlib import sha1
from typing import TypeAlias, cast

import pytest

from heykit.cache import (
    Cache,
    Codec,
    cached,
    hybrid_cache,
    invalidate_tags,
    json_codec,
    memory_cache,
    redis_cache,
)
from heykit.cache import _scripts as scripts
from heykit.errors import RedisError
from heykit.resources import Redis, redis_client
from tests.cache.gate import Gate, until
from tests.cache.test_away import back, reach_of, status
from tests.servers import ValkeyServer

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
NUMBERS = json_codec(int)


class Slow(Gate):
    """Lets commands wait before they are sent, or their answers after they have come."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}

    async def execute(self, *command: str | bytes | float) -> object:
        what = str(command[1] if command[0] == "EVAL" else command[0])
        await asyncio.sleep(self.before.get(what, 0))
        reply = await super().execute(*command)
        await asyncio.sleep(self.after.get(what, 0))
        return reply


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


@pytest.fixture
async def slow(gate: Gate, redis_url: str) -> AsyncGenerator[Slow]:
    """Another process's way to Redis."""
    async with redis_client(redis_url) as redis:
        yield Slow(redis)


class Truth:
    def __init__(self) -> None:
        self.value = 1
        self.loads = 0

    async def read(self) -> int:
        self.loads += 1
        return self.value


async def test_a_key_that_is_no_text_does_not_end_the_listening(redis: Redis) -> None:
    async with hybrid_cache(redis, NUMBERS, prefix="a:") as cache, redis_cache(redis, NUMBERS, prefix="a:") as other:
        await other.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        await redis.execute("SET", b"a:\xff\xfe", b"x")
        await redis.execute("SET", b"a:#tag:\xff", b"x")
        await asyncio.sleep(0.02)
        assert cache.stats().size == 1
        await other.set("x", 2)
        await until(lambda: cache.stats().size == 0)
        assert await cache.get("x") == 2


async def test_a_feed_that_fails_or_ends_leaves_nothing_in_memory(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(redis)
    async with hybrid_cache(gate, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        monkeypatch.setattr("heykit.cache._hybrid._HybridCache._change", lambda *_: 1 / 0)
        await redis.execute("SET", "a:y", "1")
        await until(lambda: cache.stats().size == 0)


async def test_another_process_that_opens_it_takes_nothing_away(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as one:
        await one.set("x", 1)
        for _ in range(3):
            async with opening(redis, NUMBERS, prefix="a:") as other:
                assert await other.get("x") == 1
        assert await one.get("x") == 1


async def test_a_process_that_asked_nothing_meanwhile_does_not_trust_a_server_started_anew(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening
) -> None:
    async with redis_client(redis_url) as redis, opening(redis, NUMBERS, prefix="a:") as cache:
        async with redis_client(redis_url) as another, opening(another, NUMBERS, prefix="a:") as dying:
            await dying.set("x", 1)
            await asyncio.to_thread(valkey_server.kill)
            await dying.delete("x")
        await asyncio.to_thread(valkey_server.start)
        for _ in range(20):
            assert await cache.get("x") is None
            await asyncio.sleep(0.005)
        await back(cache)
        assert await cache.get("x") is None


async def test_who_asks_while_a_load_that_is_not_kept_gives_up_its_claim_does_not_join_it(
    gate: Gate, slow: Slow, opening: Opening
) -> None:
    truth, begun, goes = Truth(), asyncio.Event(), asyncio.Event()

    async def read() -> int:
        seen = truth.value
        begun.set()
        await goes.wait()
        return seen

    async with opening(gate, NUMBERS, prefix="a:") as one, opening(slow, NUMBERS, prefix="a:") as two:
        slow.after[scripts.RELEASE] = 0.1
        ours, theirs = (cached(cache, key=lambda: "x")(read) for cache in (one, two))
        before = asyncio.create_task(theirs())
        await begun.wait()
        truth.value = 2
        await ours.invalidate()
        goes.set()
        await asyncio.sleep(0.05)

        assert await theirs() == 2
        assert await before == 1


async def test_a_value_found_by_who_asked_first_is_not_given_to_who_asks_after_it_was_dropped(
    gate: Gate, slow: Slow, opening: Opening
) -> None:
    truth = Truth()
    async with opening(gate, NUMBERS, prefix="a:") as one, opening(slow, NUMBERS, prefix="a:") as two:
        ours, theirs = (cached(cache, key=lambda: "x")(truth.read) for cache in (one, two))
        slow.before[scripts.CLAIM] = slow.after[scripts.CLAIM] = 0.1
        first = asyncio.create_task(theirs())
        await asyncio.sleep(0.03)
        await ours()  # loaded between the other's look and its claim
        await asyncio.sleep(0.1)
        truth.value = 2
        await ours.invalidate()

        assert await theirs() == 2
        assert await first == 1


async def test_a_load_begun_without_redis_is_not_joined_when_redis_is_back(gate: Gate, opening: Opening) -> None:
    truth, goes = Truth(), asyncio.Event()

    async def read() -> int:
        seen = await truth.read()
        if truth.loads == 1:
            await goes.wait()
        return seen

    async with opening(gate, NUMBERS, prefix="a:") as cache:
        find = cached(cache, key=lambda: "x")(read)
        gate.is_shut = True
        before = asyncio.create_task(find())
        await until(lambda: truth.loads == 1)
        gate.is_shut = False
        await back(cache)
        truth.value = 2
        async with opening(gate.redis, NUMBERS, prefix="a:") as other:
            await other.delete("x")
        assert await find() == 2
        goes.set()
        assert await before == 1
        assert await find() == 2


@pytest.mark.parametrize("foreign", [("SET", "a:#lock:x", "foreign"), ("RPUSH", "a:#lock:x", "1")])
async def test_what_somebody_else_wrote_in_the_place_of_a_claim_keeps_nobody_waiting(
    redis: Redis, opening: Opening, foreign: tuple[str, ...]
) -> None:
    truth = Truth()
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await redis.execute(*foreign)
        async with asyncio.timeout(1):
            assert await cached(cache, key=lambda: "x")(truth.read)() == 1


async def test_a_server_that_cannot_be_told_to_forget_is_not_trusted(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._reach._TROUBLE", 0.0)
    truth = Truth()
    async with redis_client(redis_url) as redis, opening(redis, NUMBERS, prefix="a:") as cache:
        find = cached(cache, key=lambda: "x")(truth.read)
        assert await find() == 1
        await asyncio.to_thread(valkey_server.kill)
        await cache.get("y")
        truth.value = 2
        await asyncio.to_thread(valkey_server.start)
        valkey_server.say("CONFIG SET maxmemory 1")
        await asyncio.sleep(0.5)
        assert await find() == 2
        valkey_server.say("CONFIG SET maxmemory 0")
        await back(cache)
        assert await find() == 2


async def test_those_who_wait_for_what_another_process_loads_share_no_list(redis: Redis) -> None:
    async def read() -> list[int]:
        await asyncio.sleep(0.05)
        return [1]

    codec = json_codec(list[int])
    async with redis_cache(redis, codec, prefix="a:") as one, redis_cache(redis, codec, prefix="a:") as two:
        ours, theirs = (cached(cache, key=lambda: "x")(read) for cache in (one, two))
        asking = [asyncio.create_task(find()) for find in (ours, theirs, theirs, theirs)]
        given = await asyncio.gather(*asking)
        for each in given:
            assert each == [1]
            each.append(2)


async def test_it_waits_for_what_others_owe_also_where_it_was_opened_without_redis(
    gate: Gate, slow: Slow, opening: Opening
) -> None:
    async with opening(slow, NUMBERS, prefix="a:") as one:
        await one.set("x", 1)
        slow.is_shut = gate.is_shut = True
        await one.delete("x")
        async with opening(gate, NUMBERS, prefix="a:") as two:
            slow.before["INFO"] = 0.02
            slow.is_shut = gate.is_shut = False
            while await status(two) != "pass":
                assert await two.get("x") is None
                await asyncio.sleep(0.001)
            assert await two.get("x") is None


async def test_a_cancelled_set_clears_nothing_of_who_may_not_ask_about_the_server(gate: Gate, opening: Opening) -> None:
    gate.refused = {"INFO"}
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        await cache.set("kept", 1)
        gate.holds.clear()
        setting = asyncio.create_task(cache.set("x", 1))
        await asyncio.sleep(0.01)
        setting.cancel()
        gate.holds.set()
        await asyncio.wait([setting])
        await until(lambda: not reach_of(cache)._owed)
        assert await cache.get("kept") == 1
        assert await cache.get("x") is None


async def test_who_may_not_listen_does_not_doubt_redis_again_and_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*prefixes: str) -> object:
        raise RedisError("CLIENT is refused")

    monkeypatch.setattr(gate, "invalidations", refusing)
    monkeypatch.setattr("heykit.cache._hybrid._PAUSE", 0.001)
    async with hybrid_cache(gate, NUMBERS, prefix="a:") as cache:
        gate.asked.clear()
        await asyncio.sleep(0.1)
        assert gate.asked == []
        await cache.set("x", 1)
        assert await cache.get("x") == 1


async def test_many_large_values_are_got_and_set(redis: Redis, opening: Opening) -> None:
    values = {str(number): number * 10**50_000 for number in range(1, 150)}  # 50 kB each
    unlimited = cast("Codec[int]", Hexadecimal())
    async with opening(redis, unlimited, prefix="a:") as cache:
        await cache.set_many(values)
        assert await cache.get_many(values) == values
        assert await status(cache) == "pass"


class Hexadecimal:
    def encode(self, value: int) -> bytes:
        return f"{value:x}".encode()

    def decode(self, data: bytes) -> int:
        return int(data, 16)


async def test_a_cached_function_can_be_cached_once_more() -> None:
    truth = Truth()
    async with memory_cache(int) as near, memory_cache(int) as far:
        inner = cached(far, ttl=100)(truth.read)
        outer = cached(near, ttl=1)(inner)
        assert await outer() == 1
        assert [near.stats().size, far.stats().size] == [1, 1]


async def test_a_clear_while_another_one_is_paid_for_is_owed_itself(gate: Gate, slow: Slow, opening: Opening) -> None:
    async with opening(slow, NUMBERS, prefix="a:") as one, opening(gate, NUMBERS, prefix="a:") as two:
        slow.is_shut = True
        await one.clear()
        slow.after["DEL"] = 0.1
        slow.is_shut = False
        await until(lambda: "DEL" in slow.asked[-1:])
        await asyncio.sleep(0.03)  # it is done there, and the answer is on its way
        await two.set("x", 1)
        await one.clear()
        slow.after.clear()
        await asyncio.gather(back(one), back(two))
        assert await one.get("x") is None


async def test_a_deletion_on_its_way_when_the_cache_closes_is_not_forgotten(
    gate: Gate, redis: Redis, opening: Opening, caplog: pytest.LogCaptureFixture
) -> None:
    async with opening(gate, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        gate.holds.clear()
        deleting = asyncio.create_task(cache.delete("x"))
        await asyncio.sleep(0.01)
        deleting.cancel()
        asyncio.get_running_loop().call_later(0.02, gate.holds.set)
    await asyncio.wait([deleting])

    assert await redis.execute("EXISTS", "a:x") == 0


async def test_any_number_of_tags_is_dropped_before_it_returns(redis: Redis, opening: Opening) -> None:
    truth = Truth()
    tags = [f"tag{number}" for number in range(9000)]
    async with opening(redis, NUMBERS, prefix="a:") as one, opening(redis, NUMBERS, prefix="a:") as two:
        ours = cached(one, key=lambda: "x", tags=tags[:300])(truth.read)
        theirs = cached(two, key=lambda: "x", tags=tags[:300])(truth.read)
        assert [await ours(), await theirs(), truth.loads] == [1, 1, 1]
        truth.value = 2
        await invalidate_tags(one, *tags)
        assert [await theirs(), await ours()] == [2, 2]
        await invalidate_tags(one)


@pytest.mark.parametrize(
    "times",
    [{"stale": -1.0}, {"stale": math.inf}, {"stale": math.nan}, {"early": -1.0}, {"early": 10.0}, {"early": math.nan}],
)
async def test_times_that_would_load_each_time_are_refused(times: dict[str, float]) -> None:
    async with memory_cache(int, default_ttl=10) as cache:
        with pytest.raises(ValueError, match="stale and early are 0 seconds or more"):
            cached(cache, stale=times.get("stale", 0.0), early=times.get("early", 0.0))


async def test_a_closed_cache_is_not_asked_again_and_again(redis: Redis) -> None:
    truth = Truth()
    async with redis_cache(redis, NUMBERS, prefix="a:") as other:
        generation = cast("bytes", await redis.execute("GET", "a:#generation"))
        gate = Gate(redis)
        async with redis_cache(gate, NUMBERS, prefix="a:") as cache:
            claim = b"somebody" + sha1(generation).hexdigest().encode()
            await redis.execute("SET", "a:#lock:x", claim, "PX", 60_000)
            waiting = asyncio.create_task(cached(cache, key=lambda: "x")(truth.read)())
            await asyncio.sleep(0.05)
        assert await waiting == 1
        gate.asked.clear()
        await asyncio.sleep(0.1)
        assert gate.asked == []
        assert await other.get("x") is None


class Uncopyable:
    def __deepcopy__(self, memo: object) -> Uncopyable:
        raise TypeError("there is one of it")


class Uncopyables:
    def encode(self, value: Uncopyable) -> bytes:
        return b"x"

    def decode(self, data: bytes) -> Uncopyable:
        return Uncopyable()


async def test_what_cannot_be_copied_is_handed_out_and_not_kept_in_memory(redis: Redis) -> None:
    async with hybrid_cache(redis, Uncopyables(), prefix="a:") as cache:
        await cache.set("x", Uncopyable())
        assert isinstance(await cache.get("x"), Uncopyable)
        assert isinstance((await cache.get_many(["x"]))["x"], Uncopyable)
        assert cache.stats().size == 0


async def test_memory_is_empty_when_this_process_has_seen_redis_away(gate: Gate) -> None:
    async with hybrid_cache(gate, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        assert [await cache.get("x"), await cache.get("x")] == [1, 1]
        gate.is_shut = True
        await cache.get("y")
        assert await cache.get("x") is None


async def test_a_generation_of_another_type_is_made_anew(redis: Redis, opening: Opening) -> None:
    await redis.execute("RPUSH", "a:#generation", "1")
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await cache.set("x", 1)
        assert await cache.get("x") == 1


async def test_a_value_of_another_type_in_the_place_of_ours_is_replaced_by_a_load(
    redis: Redis, opening: Opening
) -> None:
    truth = Truth()
    async with opening(redis, NUMBERS, prefix="a:") as cache:
        await redis.execute("RPUSH", "a:x", "1")
        find = cached(cache, key=lambda: "x")(truth.read)
        assert [await find(), await find(), truth.loads] == [1, 1, 1]
