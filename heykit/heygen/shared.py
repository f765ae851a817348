"""What the processes of one service share, where they do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeVar

from heykit.cache import Cache, Codec, hybrid_cache, memory_cache
from heykit.resources import Redis

__all__ = ["Shared"]

V = TypeVar("V")

_TTL: Final = 30.0  # seconds


@dataclass(frozen=True)
class Shared:
    """A Redis, or none. The service does without it, so its health is that of what uses it."""

    redis: Redis | None

    def name(self, of: str) -> str:
        """Give the prefix of what one part of the service keeps there."""
        return f"heygen:{of}:"

    def cache(
        self, name: str, codec: Codec[V], *, max_size: int, weigh: Callable[[V], int] | None = None
    ) -> AbstractAsyncContextManager[Cache[V]]:
        """Open a cache, for all processes where they share a Redis.

        Without one it is this process's alone, and what another changes is seen when a value's time is over: 30 s.
        """
        if self.redis is None:
            return memory_cache(max_size=max_size, weigh=weigh, default_ttl=_TTL)
        return hybrid_cache(self.redis, codec, prefix=self.name(name), max_size=max_size, weigh=weigh, default_ttl=_TTL)
