"""What a type checker says: wrong uses are errors (an ignore that hides none is itself one), right ones are exact."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import assert_type

from heykit.cache import (
    Cache,
    Cached,
    Commands,
    MemoryCache,
    bytes_codec,
    cached,
    hybrid_cache,
    invalidate_tags,
    json_codec,
    memory_cache,
    optional,
    redis_cache,
)
from heykit.resources import Redis

FindTitle = Cached[[int], str | None]


def titles() -> AbstractAsyncContextManager[Cache[str | None]]:
    return memory_cache(max_size=10)


async def test_types_are_exact() -> None:
    async with memory_cache(int) as numbers:
        assert_type(numbers, MemoryCache[int])
        as_any_cache: Cache[int] = numbers
        assert_type(await as_any_cache.get("a"), int | None)
        assert_type(numbers.get_nowait("a", "missing"), int | str)
        assert_type(await numbers.get("a"), int | None)
        assert_type(await numbers.get("a", "missing"), int | str)
        assert_type(await numbers.get_many(["a"]), dict[str, int])


async def test_a_cached_function_keeps_its_signature() -> None:
    async with titles() as cache:

        @cached(cache, ttl=300)
        async def find(id: int) -> str | None:
            return str(id)

        exact: FindTitle = find
        assert_type(await find(1), str | None)
        assert_type(await find(id=1), str | None)
        await exact.invalidate(1)

        @cached(cache, key=lambda number: f"title:{number}")
        async def other(number: int) -> str | None:
            return str(number)

        assert_type(await other(1), str | None)


async def shared(redis: Redis) -> None:
    async with (
        redis_cache(redis, json_codec(int), prefix="a:") as numbers,
        hybrid_cache(redis, optional(bytes_codec()), prefix="b:", strategy="lfu", weigh=weight) as texts,
    ):
        assert_type(numbers, Cache[int])
        assert_type(await texts.get("a"), bytes | None)
        assert_type(await texts.get_many(["a"]), dict[str, bytes | None])

        @cached(numbers, ttl=5, stale=1, tags=lambda id, name: (f"{id}", name), key=lambda id, name: f"{id}{name}")
        async def find(id: int, name: str) -> int:
            return id

        exact: Cached[[int, str], int] = find
        assert_type(await find(1, name="a"), int)
        await exact.invalidate(1, "a")
        await invalidate_tags(numbers, "a", "b")

        @cached(numbers, tags=("a",))
        async def other() -> int:
            return 1

        assert_type(await other(), int)


def weight(value: bytes | None) -> int:
    return len(value or b"")


async def wrong_shared_uses(redis: Redis, only: Commands, numbers: Cache[int]) -> None:
    redis_cache(redis, json_codec(int))  # type: ignore[call-arg]
    hybrid_cache(only, json_codec(int), prefix="a:")  # type: ignore[arg-type]
    hybrid_cache(redis, json_codec(int), prefix="a:", strategy="newest")  # type: ignore[arg-type]
    _: AbstractAsyncContextManager[Cache[str]] = redis_cache(redis, json_codec(int), prefix="a:")  # type: ignore[arg-type]
    cached(numbers, tags=(1, 2))  # type: ignore[arg-type]
    await invalidate_tags(numbers, 1)  # type: ignore[arg-type]
    memory_cache(int, weigh=lambda value: value.title())  # type: ignore[attr-defined]


async def wrong_uses(numbers: Cache[int], texts: Cache[str], find: FindTitle) -> None:
    await numbers.set("a", "text")  # type: ignore[arg-type]
    await numbers.get(1)  # type: ignore[call-overload]
    await find("1")  # type: ignore[arg-type]
    await find()  # type: ignore[call-arg]
    await find.invalidate("1")  # type: ignore[arg-type]
    find(1)  # type: ignore[unused-coroutine]
    memory_cache(int, strategy="newest")  # type: ignore[call-overload]
    _: Cache[str] = numbers  # type: ignore[assignment]

    @cached(texts)  # type: ignore[arg-type]
    async def number(id: int) -> int:
        return id
