"""What can be asked of a cache, wherever its values lie, and of a function whose results are cached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ParamSpec, Protocol, TypeVar, overload

from heykit.health import Health

P = ParamSpec("P")
V = TypeVar("V")
V_co = TypeVar("V_co", covariant=True)
D = TypeVar("D")


@dataclass(frozen=True)
class CacheStats:
    """Counts since the cache was opened, and the number of entries now.

    `size` may count entries that have expired and that nobody has asked for since.
    """

    hits: int
    misses: int
    size: int
    evictions: int = 0
    expiries: int = 0


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


class Cached(Protocol[P, V_co]):
    """A function whose results are cached: called as before, and told what is no longer true."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V_co: ...
    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Drop the value of these arguments and whatever load of it is in flight."""
