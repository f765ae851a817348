"""What a type checker says: wrong uses are errors (an ignore that hides none is itself one), right ones are exact."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import assert_type

from heykit.cache import Cache, Cached, cached, memory_cache

FindTitle = Cached[[int], str | None]


def titles() -> AbstractAsyncContextManager[Cache[str | None]]:
    return memory_cache(max_size=10)


async def test_types_are_exact() -> None:
    async with memory_cache(int) as numbers:
        assert_type(numbers, Cache[int])
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
