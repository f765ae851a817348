"""A cache that is not heykit's, seen the way `cached` needs it."""

from __future__ import annotations

import asyncio
import math
from enum import Enum, auto
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from heykit.cache._counts import Counts
from heykit.cache._frozen import is_frozen
from heykit.cache._loading import Found
from heykit.cache._tokens import Ticket, Tokens
from heykit.cache.protocol import Cache

V = TypeVar("V")


class _Missing(Enum):
    MISSING = auto()


class Foreign(Generic[V]):
    """Without tags, and without the time a value has left."""

    def __init__(self, cache: Cache[V]) -> None:
        self.counts = Counts()
        self._cache = cache
        self._keys = Tokens()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def shortest(self, ttl: float | None, /) -> float:
        return math.inf if ttl is None else ttl

    def ticket(self, key: str, tags: tuple[str, ...], /) -> Ticket:
        return Ticket(self._keys.take(key), {})

    async def find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None, /) -> Found[V] | None:
        found = await self._cache.get(key, _Missing.MISSING)
        return None if found is _Missing.MISSING else Found(found, math.inf, is_mutable=not is_frozen(found))

    async def claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, /, *, least: float) -> Found[V] | None:
        # A load may have ended while this caller looked and saw nothing yet.
        return await self.find(key, tags, ticket)

    async def keep(self, key: str, value: V, ticket: Ticket, ttl: float | None, grace: float, /) -> None:
        async with self._turn(key):
            if not ticket.dropped:
                await self._cache.set(key, value, ttl=ttl)

    async def release(self, key: str, ticket: Ticket, /) -> None:
        """Nobody else knows of a claim: there is nothing to end."""

    async def drop(self, key: str, /) -> None:
        self._keys.drop(key)
        async with self._turn(key):
            await self._cache.delete(key)
        # A load that began while the cache was still deleting may have found the old value there.
        self._keys.drop(key)

    async def drop_tags(self, tags: tuple[str, ...], /) -> None:
        raise TypeError(f"{type(self._cache).__name__} does not know tags: use a cache of heykit's")

    def _turn(self, key: str) -> asyncio.Lock:
        """One write a key at a time: else an old value on its way to the cache may arrive after the delete."""
        return self._turns.setdefault(key, asyncio.Lock())
