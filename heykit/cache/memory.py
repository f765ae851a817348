"""Values in this process's memory, each gone exactly when its time is over, with no task in the background."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from typing import Generic, TypeVar, overload

from heykit.cache.entry import Entry
from heykit.cache.policy import Expiries, Policy, Strategy, policy
from heykit.cache.protocol import Cache, CacheStats
from heykit.errors import NotOpen
from heykit.health import Health

V = TypeVar("V")
D = TypeVar("D")


def checked_ttl(ttl: float, name: str = "ttl") -> float:
    """Give back a time to live in seconds; one that is not above 0 (NaN is not) is a ValueError."""
    if not ttl > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {ttl!r}; leave it out for the default")
    return ttl


@overload
def memory_cache(
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[Cache[V]]: ...
@overload
def memory_cache(
    kind: type[V],
    /,
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[Cache[V]]: ...
def memory_cache(
    kind: type[V] | None = None,
    /,
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[Cache[V]]:
    """Open a cache of up to `max_size` entries in memory.

    `default_ttl` (seconds) holds where `set` names none; `ttl=math.inf` is never. When there is no room, what has
    expired goes first, then what the strategy says: "s3fifo" what nobody asked for again, which keeps what is used
    whatever is only scanned, "lru" what was not used for longest, "ttl" what expires soonest, "fifo" what came first.
    `kind` only tells a type checker what the values are, where no annotation does. The cache
    hands out the very object it was given: keep values that nobody changes. It belongs to one event loop, and used
    after it is closed it raises NotOpen.
    Raises ValueError for a size below 1, a time that is not above 0, or an unknown strategy.
    """
    if max_size < 1:
        raise ValueError(f"max_size must be 1 or more, not {max_size!r}")
    default = math.inf if default_ttl is None else checked_ttl(default_ttl, "default_ttl")
    return _opened(_MemoryCache(strategy, max_size, default, clock))


@asynccontextmanager
async def _opened(cache: _MemoryCache[V]) -> AsyncGenerator[Cache[V]]:
    try:
        yield cache
    finally:
        cache.close()


class _MemoryCache(Generic[V]):
    def __init__(self, strategy: Strategy, max_size: int, default_ttl: float, clock: Callable[[], float]) -> None:
        self._strategy: Strategy = strategy
        self._max_size = max_size
        self._default_ttl = default_ttl
        self._clock = clock
        self._orders = count()
        self._closed = False
        self._hits = self._misses = self._evictions = self._expired = 0
        self._drop_all()

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def get(self, key: str, default: D | None = None, /) -> V | D | None:
        entry = self._entries.use(key)
        if entry is None or (entry.expires <= self._clock() and self._expire(key)):
            self._check_open()
            self._misses += 1
            return default
        self._hits += 1
        return entry.value

    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        self._check_open()
        now = self._clock()
        self._put(key, value, now, self._expiry(now, ttl))

    async def delete(self, key: str, /) -> bool:
        self._check_open()
        entry = self._entries.pop(key)
        if entry is None:
            return False
        expired = entry.expires <= self._clock()
        self._expired += expired
        return not expired

    async def clear(self) -> None:
        self._check_open()
        self._drop_all()

    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]:
        self._check_open()
        now = self._clock()
        found: dict[str, V] = {}
        for key in dict.fromkeys(keys):
            entry = self._entries.use(key)
            if entry is None or (entry.expires <= now and self._expire(key)):
                self._misses += 1
            else:
                self._hits += 1
                found[key] = entry.value
        return found

    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None:
        self._check_open()
        now = self._clock()
        expires = self._expiry(now, ttl)
        for key, value in values.items():
            self._put(key, value, now, expires)

    async def health(self) -> Health:
        stats = self.stats()
        figures = {
            "hits": stats.hits,
            "misses": stats.misses,
            "size": stats.size,
            "max_size": self._max_size,
            "evictions": stats.evictions,
            "expiries": stats.expiries,
        }
        if self._closed:
            return Health("fail", "cache", "the cache is closed", figures)
        return Health("pass", "cache", figures=figures)

    def stats(self) -> CacheStats:
        return CacheStats(self._hits, self._misses, len(self._entries), self._evictions, self._expired)

    def close(self) -> None:
        self._closed = True
        self._drop_all()

    def _check_open(self) -> None:
        if self._closed:
            raise NotOpen(
                "this memory cache is closed; use it inside the `async with memory_cache(...)` that opened it"
            )

    def _drop_all(self) -> None:
        self._entries: Policy[V] = policy(self._strategy, self._max_size)
        self._expiries: Expiries[V] = Expiries(self._entries.peek)

    def _expiry(self, now: float, ttl: float | None) -> float:
        return now + (self._default_ttl if ttl is None else checked_ttl(ttl))

    def _put(self, key: str, value: V, now: float, expires: float) -> None:
        old = self._entries.peek(key)
        if old is not None and old.expires <= now:
            self._expire(key)
            old = None
        if old is None and len(self._entries) >= self._max_size:
            self._make_room(now)
        entry = Entry(value, expires, next(self._orders))
        self._entries.put(key, entry)
        if expires < math.inf:
            self._expiries.add(key, entry)

    def _make_room(self, now: float) -> None:
        expired = self._expiries.pop(until=now)
        if expired is not None:
            self._expire(expired)
        else:
            self._entries.evict()
            self._evictions += 1

    def _expire(self, key: str) -> bool:
        """Take out what has expired; always true, to stand in a condition."""
        self._entries.pop(key)
        self._expired += 1
        return True
