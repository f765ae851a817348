"""Functions whose results are cached: loaded once however many ask, and dropped when told."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from copy import deepcopy
from functools import partial, update_wrapper
from typing import Final, Generic, ParamSpec, TypeVar, overload

from heykit.cache._flights import Flights
from heykit.cache._foreign import Foreign
from heykit.cache._frozen import is_frozen
from heykit.cache._keys import call_keys
from heykit.cache._loading import Found, Loading
from heykit.cache._store import checked_ttl
from heykit.cache._tokens import Ticket
from heykit.cache.protocol import Cache, Cached

P = ParamSpec("P")
V = TypeVar("V")

_MOST_TAGS: Final = 1000
_PAUSE: Final = 1.0  # seconds between loads in the background that fail, and between telling of the same trouble

_log = logging.getLogger("heykit.cache")


@overload
def cached(
    cache: Cache[V],
    *,
    ttl: float | None = None,
    key: Callable[P, str] | None = None,
    tags: Iterable[str] = (),
    stale: float = 0.0,
    early: float = 0.0,
    copy: Callable[[V], V] = deepcopy,
) -> Callable[[Callable[P, Awaitable[V]]], Cached[P, V]]: ...
@overload
def cached(
    cache: Cache[V],
    *,
    ttl: float | None = None,
    key: Callable[P, str] | None = None,
    tags: Callable[P, Iterable[str]],
    stale: float = 0.0,
    early: float = 0.0,
    copy: Callable[[V], V] = deepcopy,
) -> Callable[[Callable[P, Awaitable[V]]], Cached[P, V]]: ...
def cached(
    cache: Cache[V],
    *,
    ttl: float | None = None,
    key: Callable[P, str] | None = None,
    tags: Iterable[str] | Callable[P, Iterable[str]] = (),
    stale: float = 0.0,
    early: float = 0.0,
    copy: Callable[[V], V] = deepcopy,
) -> Callable[[Callable[P, Awaitable[V]]], Cached[P, V]]:
    """Keep a function's results in an open cache; the signature stays the same.

    Used inside a provider, or on a bound method (`self.get = cached(cache)(self._get)`), on asyncio. `ttl` is in
    seconds; without it the cache's default holds.

    - One load a key runs at a time, in a task of its own that no caller's cancellation ends and that inherits no
      context variables; over Redis, one in all processes. It runs to its end although all who asked have left, so give
      it a time limit of its own.
    - What it raises reaches all who wait and is not kept; None is kept like any other value.
    - `invalidate` with the same arguments drops the value and a load in flight, in every process: who asked before
      still gets what it brings, but it is not kept, and who asks afterwards starts a fresh one. After a write, that is
      after the commit: `transaction.after_commit(lambda: find.invalidate(id))`. `invalidate_tags` does it to all with a
      tag; `tags` are those of every call, or a function of the arguments gives them.
    - For `stale` seconds after its time a value is still given, while one load in the background brings the next; in
      the last `early` seconds before it is given as ever, but the next is loaded already. A load that fails there is
      logged, and tried again a second later.
    - A cache that cannot be read or written costs a load, never the call: it is logged.
    - What a caller does to a value reaches nobody else: one that could be changed (lists, dicts, most objects) is
      handed out as a copy, made by `copy`; frozen dataclasses, tuples of those and strings as they are, and so is what
      cannot be copied.

    The key is the function's module and name and its bound arguments, by type and value. `key` builds another from the
    arguments, used as it stands: functions that share a cache must not give the same. So must two functions of one
    name, such as the same method of two objects: give each its own cache, or a `key`.
    Raises TypeError for a function or arguments that make no key, and for tags, `stale` or `early` with a cache that is
    not heykit's; ValueError for a `ttl` that is not above 0, or a `stale` or `early` below.
    """
    store, times = _checked(cache, ttl, stale, early)
    fixed = None if callable(tags) else _in_order(tags)
    tags_of = _ordered(tags) if callable(tags) else _always(fixed or ())
    if isinstance(store, Foreign) and fixed != ():
        raise _knows_too_little(cache)

    def decorate(function: Callable[P, Awaitable[V]]) -> Cached[P, V]:
        key_of = call_keys(function) if key is None else key
        return _Cached(store, function, key=key_of, tags=tags_of, times=times, copy=copy)

    return decorate


def _checked(cache: Cache[V], ttl: float | None, stale: float, early: float) -> tuple[Loading[V], _Times]:
    if ttl is not None:
        checked_ttl(ttl)
    store: Loading[V] = cache if isinstance(cache, Loading) else Foreign(cache)
    if not 0 <= stale < math.inf or not 0 <= early < store.shortest(ttl):
        raise ValueError("stale and early are 0 seconds or more, and early is less than ttl")
    if isinstance(store, Foreign) and (stale or early):
        raise _knows_too_little(cache)
    return store, _Times(ttl, stale, early)


def _knows_too_little(cache: object) -> TypeError:
    name = type(cache).__name__
    return TypeError(f"{name} knows neither tags nor the age of its values: use a cache of heykit's")


async def invalidate_tags(cache: Cache[V], *tags: str) -> None:
    """Drop all values of a cache that have one of these tags, and whatever loads of them are in flight.

    Raises TypeError for a cache that knows no tags.
    """
    store: Loading[V] = cache if isinstance(cache, Loading) else Foreign(cache)
    if tags:
        await store.drop_tags(tags)


class _Times:
    __slots__ = ("fresh_above", "stale", "ttl")

    def __init__(self, ttl: float | None, stale: float, early: float) -> None:
        self.ttl = ttl
        self.stale = stale
        self.fresh_above = stale + early  # seconds left, at most which a value is loaded anew


class _Loaded(Generic[V]):
    __slots__ = ("is_mutable", "value", "was_there")

    def __init__(self, value: V, *, is_mutable: bool, was_there: bool) -> None:
        self.value = value
        self.is_mutable = is_mutable
        self.was_there = was_there


class _Cached(Generic[P, V]):
    def __init__(
        self,
        store: Loading[V],
        load: Callable[P, Awaitable[V]],
        *,
        key: Callable[P, str],
        tags: Callable[P, tuple[str, ...]],
        times: _Times,
        copy: Callable[[V], V],
    ) -> None:
        self._store = store
        self._function = load
        self._key = key
        self._tags = tags
        self._times = times
        self._copy = copy
        self._name = getattr(load, "__qualname__", repr(load))
        self._quiet_until = self._told_until = -math.inf
        self._flights: Flights[_Loaded[V]] = Flights(self._name)
        update_wrapper(self, load, updated=())  # what a callable object holds would be taken for what this one does

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> V:
        key = self._key(*args, **kwargs)
        tags = self._tags(*args, **kwargs)
        while True:
            flight = self._flights.under_way(key)
            found = await self._find(key, tags, None if flight is None else flight.ticket)
            if found is not None:
                if found.left <= self._times.fresh_above and self._times.fresh_above:
                    self._refresh(key, tags, partial(self._function, *args, **kwargs))
                return self._own(found.value) if found.is_mutable else found.value
            flight = self._flights.under_way(key)
            is_leader = flight is None
            if flight is None:
                load = partial(self._load, key, tags, partial(self._function, *args, **kwargs), 0.0)
                flight = self._flights.start(key, self._store.ticket(key, tags), load)
            else:
                self._store.counts.coalesced += 1
            loaded = await self._flights.arrival(flight)
            # What was there when the first one asked may have been dropped before this one did.
            if is_leader or not loaded.was_there:
                return self._own(loaded.value) if loaded.is_mutable else loaded.value

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        await self._store.drop(self._key(*args, **kwargs))

    def _refresh(self, key: str, tags: tuple[str, ...], call: Callable[[], Awaitable[V]]) -> None:
        if self._flights.under_way(key) is None and time.monotonic() >= self._quiet_until:
            load = partial(self._refreshed, key, tags, call)
            self._flights.start(key, self._store.ticket(key, tags), load)

    async def _refreshed(
        self, key: str, tags: tuple[str, ...], call: Callable[[], Awaitable[V]], ticket: Ticket
    ) -> _Loaded[V]:
        try:
            return await self._load(key, tags, call, self._times.fresh_above, ticket)
        except BaseException:
            self._quiet_until = time.monotonic() + _PAUSE
            raise

    async def _load(
        self,
        key: str,
        tags: tuple[str, ...],
        call: Callable[[], Awaitable[V]],
        least: float,
        ticket: Ticket,
    ) -> _Loaded[V]:
        found = await self._claim(key, tags, ticket, least)
        if found is not None:
            return _Loaded(found.value, is_mutable=found.is_mutable, was_there=True)
        try:
            began = time.perf_counter()
            value = await call()
            self._store.counts.loads += 1
            self._store.counts.load_seconds += time.perf_counter() - began
            await self._keep(key, value, ticket)
        finally:
            await self._store.release(key, ticket)
        return _Loaded(value, is_mutable=not is_frozen(value), was_there=False)

    async def _find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None) -> Found[V] | None:
        try:
            return await self._store.find(key, tags, ticket)
        except Exception:  # noqa: BLE001 - whatever a cache fails with, the loader has the value
            self._tell("read; it is loaded instead")
            return None

    async def _claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, least: float) -> Found[V] | None:
        try:
            return await self._store.claim(key, tags, ticket, least=least)
        except Exception:  # noqa: BLE001 - the same
            self._tell("read; it is loaded instead")
            return None

    async def _keep(self, key: str, value: V, ticket: Ticket) -> None:
        try:
            await self._store.keep(key, value, ticket, self._times.ttl, self._times.stale)
        except Exception:  # noqa: BLE001 - the value is loaded and right; only keeping it failed
            self._store.counts.errors += 1
            self._tell("written; the value is not kept")

    def _own(self, value: V) -> V:
        try:
            return self._copy(value)
        except Exception:  # noqa: BLE001 - a value that cannot be copied is still the answer
            return value

    def _tell(self, what: str) -> None:
        if (now := time.monotonic()) >= self._told_until:
            self._told_until = now + _PAUSE
            _log.warning("the cache of %s could not be %s", self._name, what, exc_info=True)


def _always(tags: tuple[str, ...]) -> Callable[P, tuple[str, ...]]:
    def same(*args: P.args, **kwargs: P.kwargs) -> tuple[str, ...]:
        return tags

    return same


def _ordered(tags: Callable[P, Iterable[str]]) -> Callable[P, tuple[str, ...]]:
    def in_order(*args: P.args, **kwargs: P.kwargs) -> tuple[str, ...]:
        return _in_order(tags(*args, **kwargs))

    return in_order


def _in_order(tags: Iterable[str]) -> tuple[str, ...]:
    """Give each tag once, and in an order that is the same in all processes."""
    if isinstance(tags, str):
        raise TypeError(f"tags are several: give ({tags!r},)")
    given = tuple(sorted(set(tags)))
    if len(given) > _MOST_TAGS:
        raise ValueError(f"{len(given):,} tags are too many: {_MOST_TAGS:,} at most")
    return given
