"""Values kept for a while, and functions asked once however many ask.

    async with memory_cache(Video, max_size=1000, default_ttl=300) as cache:
        await cache.set("7", video, ttl=60)  # gone in 60 seconds, exactly
        await cache.get("7")  # the video, or None
        await cache.get("7", missing)  # tells a stored None from a miss

`cached` gives a function a cache that is open, so it is used inside a provider or on a bound method:

    @cached(cache, ttl=300)
    async def find(id: int) -> Video | None: ...

    await find(7)  # one load, also for a thousand callers at once
    await find.invalidate(7)  # the value, and a load of it in flight

A cache hands out the very object it was given, to everyone who asks: keep frozen dataclasses, tuples and strings.
`Cache` and `Cached` are protocols: a class with these methods is a cache.
"""

from __future__ import annotations

from heykit.cache.calls import cached
from heykit.cache.memory import memory_cache
from heykit.cache.policy import Strategy
from heykit.cache.protocol import Cache, Cached, CacheStats

__all__ = ["Cache", "CacheStats", "Cached", "Strategy", "cached", "memory_cache"]
