"""What goes wrong with cached functions and what they keep, each once seen to go wrong."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias, cast, get_args

import pytest

from heykit.cache import (
    Cache,
    Cached,
    Strategy,
    cached,
    hybrid_cache,
    invalidate_tags,
    json_codec,
    memory_cache,
    redis_cache,
)
from heykit.cache._frozen import is_frozen
from heykit.health import Checked
from heykit.resources import Invalidated, Lost, Redis, Resumed, redis_client
from tests.cache.gate import Gate, until
from tests.cache.model import Clock
from tests.cache.test_away import back, reach_of
from tests.cache.test_shared_loads import Source
from tests.servers import ValkeyServer

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
NUMBERS = json_codec(int)


@pytest.fixture(params=[redis_cache, hybrid_cache])
def opening(request: pytest.FixtureRequest) -> Opening:
    return cast("Opening", request.param)


class Thing:
    """Something that can be seen to be gone."""

    def __init__(self, weight: int = 1) -> None:
        self.weight = weight


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ttl", [None, 60.0])
async def test_what_is_deleted_replaced_expired_or_evicted_is_gone_at_once(
    strategy: Strategy, ttl: float | None
) -> None:
    clock, living = Clock(), weakref.WeakSet[Thing]()

    def thing(weight: int = 1) -> Thing:
        made = Thing(weight)
        living.add(made)
        return made

    async with memory_cache(
        Thing, max_size=100, default_ttl=ttl, strategy=strategy, weigh=lambda value: value.weight, clock=clock
    ) as cache:
        for number in range(50):
            await cache.set(str(number), thing())
        for number in range(50):
            await cache.delete(str(number))
        assert len(living) == 0
        for weight in range(60, 0, -1):
            await cache.set("a", thing(weight))
        assert len(living) == 1
        for number in range(500):
            await cache.set(str(number), thing(1 + number % 7))
        assert len(living) == cache.stats().size
        await cache.set("short", thing(), ttl=1)
        clock.now = 2.0
        assert await cache.get("short") is None
        assert len(living) == cache.stats().size


async def test_tags_from_a_function_are_several_too() -> None:
    async with memory_cache(int) as cache:

        @cached(cache, tags=lambda id: f"user:{id}")
        async def find(id: int) -> int:
            return id

        with pytest.raises(TypeError, match=r"tags are several: give \('user:1',\)"):
            await find(1)

        @cached(cache, tags=lambda: (f"tag{number}" for number in range(1001)))
        async def other() -> int:
            return 1

        with pytest.raises(ValueError, match="1,001 tags are too many"):
            await other()


async def test_the_order_of_tags_means_nothing(redis: Redis, opening: Opening) -> None:
    async with opening(redis, NUMBERS, prefix="a:") as one, opening(redis, NUMBERS, prefix="a:") as two:

        async def read() -> int:
            return 1

        await cached(one, key=lambda: "x", tags=("b", "a", "c"))(read)()
        await cached(two, key=lambda: "x", tags=["c", "b", "a", "b"])(read)()
        assert [one.stats().loads, two.stats().loads] == [1, 0]


async def test_after_a_tag_was_dropped_nobody_waits_for_the_load_from_before(redis: Redis, opening: Opening) -> None:
    source = Source()
    async with opening(redis, NUMBERS, prefix="a:") as one, opening(redis, NUMBERS, prefix="a:") as two:
        ours, theirs = (cached(cache, tags=("t",))(source.read) for cache in (one, two))
        before = asyncio.create_task(ours(7))
        await source.begun(1)
        source.value = 2
        await invalidate_tags(two, "t")
        async with asyncio.timeout(1):
            after = asyncio.create_task(theirs(7))
            await source.begun(2)
        source.let_go()
        assert [await before, await after] == [1, 2]


class Told(Gate):
    """A way to Redis on which the test says what is told."""

    def __init__(self, redis: Redis) -> None:
        super().__init__(redis)
        self.feed: asyncio.Queue[Invalidated | Lost | Resumed] = asyncio.Queue()

    @asynccontextmanager
    async def invalidations(self, *prefixes: str) -> AsyncGenerator[AsyncIterator[Invalidated | Lost | Resumed]]:
        async def events() -> AsyncGenerator[Invalidated | Lost | Resumed]:
            while True:
                yield await self.feed.get()

        yield events()


async def test_a_server_started_anew_while_nothing_was_heard_is_not_trusted(
    valkey_server: ValkeyServer, redis_url: str, opening: Opening
) -> None:
    async with redis_client(redis_url) as redis:
        told = Told(redis)
        async with opening(told, NUMBERS, prefix="a:") as cache:
            await cache.set("x", 1)
            told.feed.put_nowait(Lost("gone"))
            await until(lambda: reach_of(cache).losses > 0)
            await until(lambda: reach_of(cache).state == "here")
            assert await cache.get("x") == 1
            await asyncio.to_thread(valkey_server.kill)
            await asyncio.to_thread(valkey_server.start)
            told.feed.put_nowait(Resumed())
            await asyncio.sleep(0.01)
            assert await cache.get("x") is None
            await back(cache)
            assert await cache.get("x") is None


@dataclass(frozen=True)
class Link:
    next: Link | None


async def test_a_value_too_deep_or_too_wide_to_be_looked_through_is_given_nevertheless() -> None:
    chain = None
    for _ in range(3000):
        chain = Link(chain)
    wide: object = ()
    for _ in range(40):
        wide = (wide, wide)
    began = time.monotonic()
    assert is_frozen(chain)
    assert not is_frozen(wide)  # not known, in the time one has
    assert time.monotonic() - began < 1

    async with memory_cache(object) as cache:

        @cached(cache)
        async def find() -> object:
            return chain

        assert await find() is chain


async def test_a_load_that_asks_for_itself_is_an_error_and_not_an_endless_wait() -> None:
    async with memory_cache(int) as cache:
        functions: dict[str, Cached[[int], int]] = {}

        async def one(id: int) -> int:
            return await functions["two"](id)

        async def two(id: int) -> int:
            return id if id == 0 else await functions["one"](id - id % 2)

        functions["one"], functions["two"] = cached(cache)(one), cached(cache)(two)
        assert await functions["one"](0) == 0
        with pytest.raises(RuntimeError, match="asks for the very value that it is to bring"):
            await functions["one"](2)
        assert await functions["two"](0) == 0


async def test_each_who_waits_has_an_error_of_their_own() -> None:
    async with memory_cache(int) as cache:

        @cached(cache)
        async def find() -> int:
            await asyncio.sleep(0.01)
            raise LookupError("away")

        async def ask(number: int) -> BaseException | None:
            try:
                dict[str, int]()[f"secret of {number}"]
            except KeyError:
                try:
                    await find()
                except LookupError as error:
                    return error
            return None

        errors = await asyncio.gather(*(ask(number) for number in range(5)))
        assert [str(error.__context__) for error in errors if error] == [f"'secret of {n}'" for n in range(5)]
        assert {str(error) for error in errors} == {"away"}


async def test_a_load_in_the_background_that_fails_is_not_tried_at_every_call() -> None:
    clock, loads = Clock(), 0

    async def read() -> int:
        nonlocal loads
        loads += 1
        if loads > 1:
            raise LookupError
        return 1

    async with memory_cache(int, clock=clock) as cache:
        find = cached(cache, ttl=10, stale=1000)(read)
        await find()
        clock.now = 11
        for _ in range(100):
            assert await find() == 1
            await asyncio.sleep(0)
        assert loads == 2


async def test_early_is_less_than_the_shortest_time_to_live_there_is() -> None:
    async with memory_cache(int, jitter=0.5) as cache:
        with pytest.raises(ValueError, match="early is less than ttl"):
            cached(cache, ttl=10, early=5)
        cached(cache, ttl=10, early=4.9)


async def test_health_warns_where_redis_refuses_or_its_client_is_closed(redis_url: str, opening: Opening) -> None:
    async with redis_client(redis_url) as redis:
        opened = opening(redis, NUMBERS, prefix="a:")
        cache = await opened.__aenter__()
    assert isinstance(cache, Checked)
    await cache.set("x", 1)
    assert await cache.get("x") is None
    assert (await cache.health()).status == "warn"
    await opened.__aexit__(None, None, None)


async def test_a_value_that_cannot_be_weighed_is_read_in_redis_each_time(redis: Redis) -> None:
    def weigh(value: int) -> int:
        raise LookupError

    async with hybrid_cache(redis, NUMBERS, prefix="a:", weigh=weigh) as cache:
        await cache.set("x", 1)
        assert [await cache.get("x"), await cache.get_many(["x"])] == [1, {"x": 1}]
        assert cache.stats().size == 0
