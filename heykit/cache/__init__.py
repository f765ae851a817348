"""Values kept for a while, and functions asked once however many ask.

    async with memory_cache(Video, max_size=1000, default_ttl=300) as cache:
        await cache.set("7", video, ttl=60)  # gone in 60 seconds, exactly
        await cache.get("7")  # the video, or None
        await cache.get("7", missing)  # tells a stored None from a miss

    async with redis_client(url) as redis, hybrid_cache(redis, json_codec(Video), prefix="videos:") as cache:
        ...  # the same, in Redis for all processes, with memory in front that is never wrong for long

`cached` gives a function a cache that is open, so it is used inside a provider or on a bound method:

    @cached(cache, ttl=300, stale=60, tags=lambda id: (f"video:{id}",))
    async def find(id: int) -> Video | None: ...

    await find(7)  # one load, also for a thousand callers at once in four processes
    await find.invalidate(7)  # the value, and a load of it in flight
    await invalidate_tags(cache, "video:7")

A memory cache hands out the very object it was given, to everyone who asks: keep frozen dataclasses, tuples and
strings. A cached function copies what could be changed, and so does a hybrid cache. `Cache` and `Cached` are protocols:
a class with these methods is a cache.
"""

from __future__ import annotations

from heykit.cache._calls import cached, invalidate_tags
from heykit.cache._codec import bytes_codec, json_codec, optional
from heykit.cache._hybrid import hybrid_cache
from heykit.cache._memory import memory_cache
from heykit.cache._policy import Strategy
from heykit.cache._redis import redis_cache
from heykit.cache.protocol import Cache, Cached, CacheStats, Codec, Commands, MemoryCache, TrackedCommands

__all__ = [
    "Cache",
    "CacheStats",
    "Cached",
    "Codec",
    "Commands",
    "MemoryCache",
    "Strategy",
    "TrackedCommands",
    "bytes_codec",
    "cached",
    "hybrid_cache",
    "invalidate_tags",
    "json_codec",
    "memory_cache",
    "optional",
    "redis_cache",
]
