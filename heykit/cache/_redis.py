"""Values in Redis, which all processes share."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, TypeVar, overload

import anyio

from heykit._background import beside
from heykit._feeds import Lost, Resumed
from heykit.cache._counts import Counts
from heykit.cache._figures import figures
from heykit.cache._frozen import is_frozen
from heykit.cache._layout import Layout
from heykit.cache._loading import Found
from heykit.cache._reach import Reach
from heykit.cache._remote import LOCK, Looked, Remote
from heykit.cache._store import checked_ttl
from heykit.cache._tokens import Ticket, Tokens
from heykit.cache.protocol import Cache, CacheStats, Codec, Commands, TrackedCommands
from heykit.errors import NotOpen
from heykit.health import Health

V = TypeVar("V")
D = TypeVar("D")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.05  # seconds between looks at what another process loads
_WATCH_PAUSE = 1.0  # seconds before listening is tried again

logger = logging.getLogger("heykit.cache")


def redis_cache(
    commands: Commands,
    codec: Codec[V],
    *,
    prefix: str,
    default_ttl: float | None = None,
    timeout: float = 0.8,
    entropy: Callable[[int], bytes] = os.urandom,
) -> AbstractAsyncContextManager[Cache[V]]:
    """Open a cache in Redis, of the keys that begin with `prefix`; nothing else may write there.

    `default_ttl` (seconds) holds where `set` names none. Redis evicts by its own `maxmemory-policy`. Where `commands`
    can tell of changes, a connection is held that says when the server is lost, though nobody asks.

    It does without Redis where that is away, or does not answer within `timeout` seconds: it finds nothing and keeps
    nothing, at once, with the health `warn`. What should have been dropped meanwhile is dropped before this process
    reads there again; other processes that saw Redis away wait a second for that. What another run of the server wrote
    is never read: a deletion may not have been saved. Bytes that are not a value of the codec are a miss. `set` raises
    what the codec raises; and ValueError is raised for an empty prefix or a time that is not above 0.
    """
    return _opened(RedisCache(commands, codec, prefix, default_ttl, timeout=timeout, entropy=entropy))


@asynccontextmanager
async def _opened(cache: RedisCache[V]) -> AsyncGenerator[Cache[V]]:
    async with cache.kept():
        yield cache


class RedisCache(Generic[V]):
    def __init__(
        self,
        commands: Commands,
        codec: Codec[V],
        prefix: str,
        default_ttl: float | None,
        *,
        timeout: float,
        entropy: Callable[[int], bytes],
        watches: bool = True,
    ) -> None:
        if not timeout > 0:
            raise ValueError("timeout must be above 0 seconds")
        self._default = math.inf if default_ttl is None else checked_ttl(default_ttl, "default_ttl")
        self.counts = Counts()
        self.layout = Layout(prefix)
        self.reach = Reach(commands, self.layout, self.counts, timeout=timeout, entropy=entropy)
        self.remote = Remote(self.reach, self.layout, codec, self.counts)
        self.keys = Tokens()
        self.tags = Tokens()
        self._commands = commands if watches and isinstance(commands, TrackedCommands) else None
        self._renewing: dict[Ticket, asyncio.Task[None]] = {}
        self._has_begun = asyncio.Event()
        self._is_open = False

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        try:
            # Listened first: a server that is started anew afterwards is heard of.
            async with beside(*(() if self._commands is None else (self._watch,))):
                if self._commands is not None:
                    with anyio.move_on_after(self.reach.timeout):
                        await self._has_begun.wait()
                async with self.reach.kept():
                    self._is_open = True
                    yield
        finally:
            self._is_open = False
            for task in self._renewing.values():
                task.cancel()

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def get(self, key: str, default: D | None = None, /) -> V | D | None:
        looked = await self.looked(key, (), None)
        return default if looked is None else looked.value

    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        await self.set_many({key: value}, ttl=ttl)

    async def delete(self, key: str, /) -> bool:
        self.check_open()
        self.keys.drop(key)
        try:
            return await self.remote.drop(key)
        finally:
            self.keys.drop(key)

    async def clear(self) -> None:
        self.check_open()
        self.keys.drop_all()
        try:
            await self.remote.clear()
        finally:
            self.keys.drop_all()

    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]:
        self.check_open()
        wanted = [*dict.fromkeys(keys)]
        found = await self.remote.look_many(wanted)
        self.counts.hits += len(found)
        self.counts.l2_hits += len(found)
        self.counts.misses += len(wanted) - len(found)
        return {key: looked.value for key, looked in found.items()}

    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None:
        self.check_open()
        lifetime = self._lifetime(ttl)
        for key in values:
            self.keys.drop(key)  # what a load under way brings is older
        await self.remote.set_many(values, lifetime)

    async def health(self) -> Health:
        told = figures(self.stats())
        if not self._is_open:
            return Health("fail", "cache", "the cache is closed", told)
        if self.reach.state != "here":
            return Health("warn", "cache", f"values are loaded each time: {self.reach.reason}", told)
        if self.reach.refusal:
            return Health("warn", "cache", f"Redis does not do all that is asked of it: {self.reach.refusal}", told)
        return Health("pass", "cache", figures=told)

    def stats(self) -> CacheStats:
        return self.counts.stats(0, 0)

    # -------------------------------------------------------------------------------- what `cached` asks of a cache

    def ticket(self, key: str, tags: tuple[str, ...], /) -> Ticket:
        return Ticket(self.keys.take(key), {tag: self.tags.take(tag) for tag in tags})

    async def find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None, /) -> Found[V] | None:
        looked = await self.looked(key, tags, ticket)
        return None if looked is None else Found(looked.value, looked.left)

    async def claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, /, *, least: float) -> Found[V] | None:
        pause = _FIRST_PAUSE
        while True:
            is_ours, looked = await self.remote.claim(key, tags, ticket)
            if looked is not None and (looked.left > least or not is_ours):
                await self.remote.release(key, ticket)
                return Found(looked.value, looked.left, is_mutable=not is_frozen(looked.value))
            if is_ours or not self._is_open:
                ticket.is_loading = True
                if ticket.claim:
                    self._renewing[ticket] = asyncio.get_running_loop().create_task(self._renew(key, ticket))
                return None
            await anyio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 1.5 * pause)

    async def keep(self, key: str, value: V, ticket: Ticket, ttl: float | None, grace: float, /) -> None:
        self._stop_renewing(ticket)
        if ticket.dropped:
            return
        if await self.remote.keep(key, value, ticket, self._lifetime(ttl) + grace):
            ticket.claim = b""
        elif ticket.claim:
            ticket.drop()

    async def release(self, key: str, ticket: Ticket, /) -> None:
        self._stop_renewing(ticket)
        await self.remote.release(key, ticket)

    async def drop(self, key: str, /) -> None:
        self.counts.invalidations += await self.delete(key)

    async def drop_tags(self, tags: tuple[str, ...], /) -> None:
        self.check_open()
        self.counts.invalidations += len(tags)
        for tag in tags:
            self.tags.drop(tag)
        try:
            await self.remote.drop_tags(tags)
        finally:
            for tag in tags:
                self.tags.drop(tag)

    async def _watch(self) -> None:
        """Hear when the server is lost, for one that is started anew between two commands looks like the same.

        What it tells is of no interest, but for the connection on which it would.
        """
        assert self._commands is not None
        told = ""
        while True:
            try:
                async with self._commands.invalidations(self.layout.generation.decode()) as feed:
                    if self._has_begun.is_set():
                        self.reach.doubt("it was not heard for a while")
                    self._has_begun.set()
                    async for event in feed:
                        if isinstance(event, Lost):
                            self.reach.doubt(event.reason)
                        elif isinstance(event, Resumed):
                            self.reach.doubt("it was not heard for a while")
            except Exception as error:  # noqa: BLE001 - of any driver; it is tried again
                if str(error) != told:
                    told = str(error)
                    logger.info("a cache does not hear when Redis is lost, and sees it by what fails: %s", told)
            self._has_begun.set()
            await anyio.sleep(_WATCH_PAUSE)

    def check_open(self) -> None:
        if not self._is_open:
            raise NotOpen("this cache is closed; use it inside the `async with` that opened it")

    async def looked(self, key: str, tags: tuple[str, ...], ticket: Ticket | None) -> Looked[V] | None:
        self.check_open()
        looked = await self.remote.look(key, tags, ticket)
        if looked is None:
            self.counts.misses += 1
        else:
            self.counts.hits += 1
            self.counts.l2_hits += 1
        return looked

    def shortest(self, ttl: float | None, /) -> float:
        return self._lifetime(ttl)

    def _lifetime(self, ttl: float | None) -> float:
        return self._default if ttl is None else checked_ttl(ttl)

    async def _renew(self, key: str, ticket: Ticket) -> None:
        while ticket.claim and not ticket.dropped:
            await anyio.sleep(LOCK / 3)
            await self.remote.renew(key, ticket)

    def _stop_renewing(self, ticket: Ticket) -> None:
        task = self._renewing.pop(ticket, None)
        if task is not None:
            task.cancel()
