"""Values in this process's memory."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Generic, TypeVar, overload

from heykit.cache._counts import Counts
from heykit.cache._entry import Entry
from heykit.cache._figures import figures
from heykit.cache._frozen import is_frozen
from heykit.cache._loading import Found
from heykit.cache._policy import Strategy
from heykit.cache._store import Rules, Store
from heykit.cache._tokens import Ticket, Tokens
from heykit.cache.protocol import CacheStats, MemoryCache
from heykit.errors import NotOpen
from heykit.health import Health

V = TypeVar("V")
D = TypeVar("D")

_NEVER: Final = math.inf


@overload
def memory_cache(
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    weigh: Callable[[V], int] | None = None,
    jitter: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[MemoryCache[V]]: ...
@overload
def memory_cache(
    kind: type[V],
    /,
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    weigh: Callable[[V], int] | None = None,
    jitter: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[MemoryCache[V]]: ...
def memory_cache(
    kind: type[V] | None = None,
    /,
    *,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    weigh: Callable[[V], int] | None = None,
    jitter: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
) -> AbstractAsyncContextManager[MemoryCache[V]]:
    """Open a cache of up to `max_size` entries in memory, or of that much weight where `weigh` tells that of a value.

    `default_ttl` (seconds) holds where `set` names none; `ttl=math.inf` is never. With `jitter=0.1` each lives up to a
    tenth less, so that what was set together does not expire together. When there is no room, what has expired goes
    first, then what the strategy says: "s3fifo" what nobody asked for again, which keeps what is used whatever is only
    scanned, "lru" what was not used for longest, "lfu" what was used least, "fifo" what came first, "ttl" what expires
    soonest. `kind` only tells a type checker what the values are, where no annotation does.

    `get_nowait` and `set_nowait` do the same without being awaited. The cache hands out the very object it was given:
    keep values that nobody changes. It belongs to one event loop, and used after it is closed it raises NotOpen. Raises
    ValueError for a size below 1, a time that is not above 0, a jitter outside 0 to 1, or an unknown strategy.
    """
    return _opened(_MemoryCache(Rules(max_size, default_ttl, strategy, weigh, jitter, clock)))


@asynccontextmanager
async def _opened(cache: _MemoryCache[V]) -> AsyncGenerator[MemoryCache[V]]:
    try:
        yield cache
    finally:
        cache.close()


class _MemoryCache(Generic[V]):
    __slots__ = (
        "_clock", "_closed", "_expiries", "_find", "_fixed", "_hits", "_keys", "_look_up", "_put", "_rules", "_store",
        "_tags", "counts",
    )  # fmt: skip

    def __init__(self, rules: Rules[V]) -> None:
        self._rules = rules
        self._clock = rules.clock
        self.counts = Counts()
        self._store = Store(rules, self.counts)
        self._find = self._store.find
        self._put = self._store.put
        self._look_up = self._store.entries.get
        self._expiries = self._store.expiries
        self._fixed = None if rules.jitter else rules.lifetime(None)
        self._keys = Tokens()
        self._tags = Tokens()
        self._closed = False
        self._hits = 0  # those of `get`, the others are in the counts

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def get(self, key: str, default: D | None = None, /) -> V | D | None:
        # `find` written out where nothing is special: calling it would be a third of what a hit takes. Mostly nothing
        # at all has expired, and its own time, which lies elsewhere in memory, is not looked at.
        entry = self._look_up(key)
        if entry is not None:
            soonest = self._expiries.soonest
            if entry.note is None and (soonest == _NEVER or soonest > (now := self._clock()) or entry.expires > now):
                entry.uses += 1
                self._hits += 1
                return entry.value
            return self._got(key, default)
        if self._closed:
            self._check_open()
        self.counts.misses += 1
        return default

    def _got(self, key: str, default: D | None) -> V | D | None:
        entry = self._store.find(key)
        if entry is None:
            self._check_open()
            self.counts.misses += 1
            return default
        self.counts.hits += 1
        return entry.value

    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        if self._closed or self._keys.held:
            self._check_open()
            self._keys.drop(key)  # what a load under way brings is older
        self._put(key, value, self._fixed if ttl is None and self._fixed is not None else self._rules.lifetime(ttl))

    @overload
    def get_nowait(self, key: str, /) -> V | None: ...
    @overload
    def get_nowait(self, key: str, default: D, /) -> V | D: ...
    def get_nowait(self, key: str, default: D | None = None, /) -> V | D | None:
        # Word for word as `get`: that would take a fifth longer if it called this.
        entry = self._look_up(key)
        if entry is not None:
            soonest = self._expiries.soonest
            if entry.note is None and (soonest == _NEVER or soonest > (now := self._clock()) or entry.expires > now):
                entry.uses += 1
                self._hits += 1
                return entry.value
            return self._got(key, default)
        if self._closed:
            self._check_open()
        self.counts.misses += 1
        return default

    def set_nowait(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        if self._closed or self._keys.held:
            self._check_open()
            self._keys.drop(key)  # what a load under way brings is older
        self._put(key, value, self._fixed if ttl is None and self._fixed is not None else self._rules.lifetime(ttl))

    async def delete(self, key: str, /) -> bool:
        self._check_open()
        self._keys.drop(key)
        return self._store.drop(key)

    async def clear(self) -> None:
        self._check_open()
        self._keys.drop_all()
        self._tags.drop_all()
        self._store.clear()
        self._look_up = self._store.entries.get
        self._expiries = self._store.expiries

    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]:
        self._check_open()
        found: dict[str, V] = {}
        for key in dict.fromkeys(keys):
            entry = self._find(key)
            if entry is None:
                self.counts.misses += 1
            else:
                self.counts.hits += 1
                found[key] = entry.value
        return found

    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None:
        self._check_open()
        lifetimes = [self._rules.lifetime(ttl) for _ in values]
        for (key, value), lifetime in zip(values.items(), lifetimes, strict=True):
            self._keys.drop(key)  # what a load under way brings is older
            self._put(key, value, lifetime)

    async def health(self) -> Health:
        told = figures(self.stats(), max_size=self._rules.max_size)
        if self._closed:
            return Health("fail", "cache", "the cache is closed", told)
        return Health("pass", "cache", figures=told)

    def stats(self) -> CacheStats:
        self.counts.hits += self._hits
        self._hits = 0
        return self._store.stats()

    # -------------------------------------------------------------------------------- what `cached` asks of a cache

    def shortest(self, ttl: float | None, /) -> float:
        return self._rules.shortest(ttl)

    def ticket(self, key: str, tags: tuple[str, ...], /) -> Ticket:
        return Ticket(self._keys.take(key), {tag: self._tags.take(tag) for tag in tags})

    async def find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None, /) -> Found[V] | None:
        entry = self._find(key)
        if entry is None:
            self._check_open()
            self.counts.misses += 1
            return None
        self.counts.hits += 1
        return self._found(entry)

    async def claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, /, *, least: float) -> Found[V] | None:
        # Somebody may have set the value since the look that found none; this look counts as nothing.
        entry = self._find(key)
        return None if entry is None or self._left(entry) <= least else self._found(entry)

    async def keep(self, key: str, value: V, ticket: Ticket, ttl: float | None, grace: float, /) -> None:
        self._check_open()
        if not ticket.dropped:
            lifetime = self._rules.lifetime(ttl) + grace
            self._put(key, value, lifetime, tuple(ticket.tags.values()), is_mutable=not is_frozen(value))

    async def release(self, key: str, ticket: Ticket, /) -> None:
        """Nobody else knows of a claim on memory: there is nothing to end."""

    async def drop(self, key: str, /) -> None:
        self._check_open()
        self._keys.drop(key)
        self.counts.invalidations += self._store.drop(key)

    async def drop_tags(self, tags: tuple[str, ...], /) -> None:
        self._check_open()
        self.counts.invalidations += len(tags)
        for tag in tags:
            self._tags.drop(tag)

    def _left(self, entry: Entry[V]) -> float:
        return _NEVER if entry.expires == _NEVER else entry.expires - self._clock()

    def _found(self, entry: Entry[V]) -> Found[V]:
        return Found(entry.value, self._left(entry), is_mutable=entry.is_mutable)

    def close(self) -> None:
        self._closed = True
        self._keys.drop_all()
        self._tags.drop_all()
        self._store.clear()
        self._look_up = self._store.entries.get
        self._expiries = self._store.expiries

    def _check_open(self) -> None:
        if self._closed:
            raise NotOpen(
                "this memory cache is closed; use it inside the `async with memory_cache(...)` that opened it"
            )
