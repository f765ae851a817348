"""A cache at the end of a wire: every call takes a while, writes and answers can be held on their way, calls fail."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar, overload

from anyio.lowlevel import checkpoint

from heykit.cache import Cache, CacheStats
from heykit.health import Health

V = TypeVar("V")
D = TypeVar("D")


class Wire(Generic[V]):
    def __init__(self, cache: Cache[V]) -> None:
        self.cache = cache
        self.writes_pass = asyncio.Event()
        self.writes_pass.set()
        self.deletes_pass = asyncio.Event()
        self.deletes_pass.set()
        self.answers_pass = asyncio.Event()
        self.answers_pass.set()
        self.failing: set[str] = set()

    async def _way(self, call: str) -> None:
        await checkpoint()
        if call in self.failing:
            raise ConnectionError(call)

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def get(self, key: str, default: D | None = None, /) -> V | D | None:
        await self._way("get")
        passes = self.answers_pass
        found = await self.cache.get(key, default)
        await passes.wait()
        return found

    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        await self._way("set")
        await self.writes_pass.wait()
        await self.cache.set(key, value, ttl=ttl)

    async def delete(self, key: str, /) -> bool:
        await self._way("delete")
        await self.deletes_pass.wait()
        return await self.cache.delete(key)

    async def clear(self) -> None:
        await self.cache.clear()

    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]:
        return await self.cache.get_many(keys)

    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None:
        await self.cache.set_many(values, ttl=ttl)

    async def health(self) -> Health:
        return await self.cache.health()

    def stats(self) -> CacheStats:
        return self.cache.stats()
