"""Functions whose results are cached: loaded once however many ask, and dropped when told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from functools import partial, update_wrapper
from typing import Generic, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from heykit.cache.flights import Flight, Flights
from heykit.cache.keys import call_keys
from heykit.cache.memory import checked_ttl
from heykit.cache.protocol import Cache, Cached

P = ParamSpec("P")
V = TypeVar("V")

_log = logging.getLogger(__name__)


class _Missing(Enum):
    MISSING = auto()


def cached(
    cache: Cache[V], *, ttl: float | None = None, key: Callable[P, str] | None = None
) -> Callable[[Callable[P, Awaitable[V]]], Cached[P, V]]:
    """Keep a function's results in an open cache; the signature stays the same.

    Used inside a provider, or on a bound method (`self.get = cached(cache)(self._get)`), on asyncio. `ttl` is in
    seconds; without it the cache's default holds.

    - One load a key runs at a time, in a task of its own that no caller's cancellation ends and that inherits no
      context variables. It runs to its end although all who asked have left, so give it a time limit of its own.
    - What it raises reaches all who wait and is not kept; None is kept like any other value.
    - `invalidate` with the same arguments drops the value and a load in flight: who asked before still gets what it
      brings, but it is not kept, and who asks afterwards starts a fresh one. After a write that means after the commit:
      `transaction.after_commit(lambda: find.invalidate(id))`. Where the cache cannot delete, it raises.
    - A cache that cannot be read or written costs a load, never the call: it is logged.
    - All get the same object: return what nobody changes, such as frozen dataclasses.

    The key is the function's module and name and its bound arguments, by type and value. `key` builds another from the
    arguments, used as it stands: functions that share a cache must not give the same. So must two functions of one
    name, such as the same method of two objects: give each its own cache, or a `key`.
    Raises TypeError for a function or arguments that make no key, and ValueError for a `ttl` that is not above 0.
    """
    if ttl is not None:
        checked_ttl(ttl)

    def decorate(function: Callable[P, Awaitable[V]]) -> Cached[P, V]:
        return _Cached(cache, function, call_keys(function) if key is None else key, ttl)

    return decorate


class _Cached(Generic[P, V]):
    def __init__(
        self, cache: Cache[V], load: Callable[P, Awaitable[V]], key: Callable[P, str], ttl: float | None
    ) -> None:
        self._cache = cache
        self._function = load
        self._key = key
        self._ttl = ttl
        self._name = getattr(load, "__qualname__", repr(load))
        self._flights: Flights[V] = Flights(self._name)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        update_wrapper(self, load)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        key = self._key(*args, **kwargs)
        landed = self._flights.landed
        if key not in self._flights:
            found = await self._read(key)
            if found is not _Missing.MISSING:
                return found
        call = partial(self._function, *args, **kwargs)
        # A flight may have landed while this caller looked and saw nothing yet.
        look_again = landed != self._flights.landed
        return await self._flights.join(key, lambda flight: self._load(key, call, flight, look_again=look_again))

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        key = self._key(*args, **kwargs)
        self._flights.drop(key)
        async with self._turn(key):
            await self._cache.delete(key)
        # One that began while the cache was still deleting may have found the old value there.
        self._flights.drop(key)

    async def _load(self, key: str, call: Callable[[], Awaitable[V]], flight: Flight[V], *, look_again: bool) -> V:
        if look_again:
            found = await self._read(key)
            if found is not _Missing.MISSING:
                return found
        value = await call()
        async with self._turn(key):
            if not flight.dropped:
                await self._keep(key, value)
        return value

    def _turn(self, key: str) -> asyncio.Lock:
        """One write a key at a time: else an old value on its way to the cache may arrive after the delete."""
        return self._turns.setdefault(key, asyncio.Lock())

    async def _read(self, key: str) -> V | _Missing:
        try:
            return await self._cache.get(key, _Missing.MISSING)
        except Exception:  # noqa: BLE001 - whatever a cache fails with, the loader has the value
            _log.warning("the cache of %s could not be read; it is loaded instead", self._name, exc_info=True)
            return _Missing.MISSING

    async def _keep(self, key: str, value: V) -> None:
        try:
            await self._cache.set(key, value, ttl=self._ttl)
        except Exception:  # noqa: BLE001 - the value is loaded and right; only keeping it failed
            _log.warning("the cache of %s could not be written; the value is not kept", self._name, exc_info=True)
