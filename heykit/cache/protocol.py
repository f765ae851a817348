"""What can be asked of a cache, wherever its values lie, and of a function whose results are cached."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar, overload, runtime_checkable

from heykit._feeds import Invalidated, Lost, Resumed
from heykit.health import Health

P = ParamSpec("P")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
D = TypeVar("D")


@dataclass(frozen=True)
class CacheStats:
    """Counts since the cache was opened, and the number of entries, and their weight, now.

    `size` may count entries that have expired and that nobody has asked for since. `loads`, the seconds they took, and
    how many `coalesced` (waited for a load another had begun) are those of `cached` functions. `invalidations` are what
    was dropped because it had changed, here or in another process. Of a hybrid cache, `l1_hits` came from this
    process's memory and `l2_hits` from Redis. `errors` are calls in which Redis or a codec failed.
    """

    hits: int
    misses: int
    size: int
    evictions: int = 0
    expiries: int = 0
    loads: int = 0
    load_seconds: float = 0.0
    coalesced: int = 0
    invalidations: int = 0
    l1_hits: int = 0
    l2_hits: int = 0
    errors: int = 0
    weight: int = 0


class Cache(Protocol[V]):
    """Values by key. `ttl` is in seconds; a value expires exactly `ttl` after it was set."""

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None: ...
    async def delete(self, key: str, /) -> bool: ...
    async def clear(self) -> None: ...
    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]: ...
    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None: ...
    async def health(self) -> Health: ...
    def stats(self) -> CacheStats: ...


class MemoryCache(Cache[V], Protocol[V]):
    """A cache in this process's memory, which need not be awaited: half of what a hit takes is the awaiting."""

    @overload
    def get_nowait(self, key: str, /) -> V | None: ...
    @overload
    def get_nowait(self, key: str, default: D, /) -> V | D: ...
    def set_nowait(self, key: str, value: V, /, *, ttl: float | None = None) -> None: ...


class Codec(Protocol[V]):
    """How a value becomes bytes, and bytes a value: data, never code. Both raise for what they cannot do."""

    def encode(self, value: V, /) -> bytes: ...
    def decode(self, data: bytes, /) -> V: ...


class Commands(Protocol):
    """What a cache needs of Redis; `heykit.resources.redis_client` satisfies it."""

    async def execute(self, *command: str | bytes | float) -> object: ...


@runtime_checkable
class TrackedCommands(Commands, Protocol):
    """What a hybrid cache needs of Redis: to be told of every key under a prefix that changes, and of being deaf."""

    def invalidations(
        self, *prefixes: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Invalidated | Lost | Resumed]]: ...


class Cached(Protocol[P, V_co]):
    """A function whose results are cached: called as before, and told what is no longer true."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V_co: ...
    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Drop the value of these arguments and whatever load of it is in flight."""
