"""Values in Redis, and in front of it those that are asked for in this process's memory, true to within a message.

Redis tells of every key under the prefix that changes (CLIENT TRACKING, BCAST), on a connection of its own. What makes
that right, each rule because without it values stay wrong for good:

- Memory is filled by what was read in Redis alone, never by what is set; and only where no message about the key has
  come between the asking and the answer: a token is taken before, and dropped by the message.
- One's own writes drop what memory has before they are sent and again when they are answered.
- While nothing is heard memory is empty and not used. A silence is noticed: the connection is asked each second.
- Nothing lives longer in memory than it has left in Redis.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import deepcopy
from typing import Final, Generic, TypeVar, overload

import anyio

from heykit._background import beside
from heykit._feeds import Lost, Resumed
from heykit.cache._counts import Counts
from heykit.cache._figures import figures
from heykit.cache._frozen import is_frozen
from heykit.cache._layout import GENERATION, TAG, is_short
from heykit.cache._loading import Found
from heykit.cache._policy import Strategy
from heykit.cache._redis import RedisCache
from heykit.cache._remote import Looked
from heykit.cache._store import Rules, Store
from heykit.cache._tokens import Ticket, Token, Tokens
from heykit.cache.protocol import Cache, CacheStats, Codec, TrackedCommands
from heykit.errors import HeykitError
from heykit.health import Health

V = TypeVar("V")
D = TypeVar("D")

_PAUSE: Final = 0.2  # seconds before what cannot be listened to is tried again

logger = logging.getLogger("heykit.cache")


def hybrid_cache(
    commands: TrackedCommands,
    codec: Codec[V],
    *,
    prefix: str,
    max_size: int = 1000,
    default_ttl: float | None = None,
    strategy: Strategy = "s3fifo",
    weigh: Callable[[V], int] | None = None,
    timeout: float = 0.8,
    clock: Callable[[], float] = time.monotonic,
    entropy: Callable[[int], bytes] = os.urandom,
) -> AbstractAsyncContextManager[Cache[V]]:
    """Open a cache in Redis with up to `max_size` of its values in this process's memory, which Redis keeps true.

    A value changed in another process is gone here within a message, about a millisecond; where the connection that
    brings it is lost, at once, and where the server hangs, within two seconds. `max_size`, `strategy` and `weigh` are
    those of `memory_cache`, the rest is as with `redis_cache`. A value that could be changed is handed out as a copy.
    Raises what `memory_cache` and `redis_cache` raise.
    """
    rules = Rules(max_size, None, strategy, weigh, 0.0, clock)
    far = RedisCache(commands, codec, prefix, default_ttl, timeout=timeout, entropy=entropy, watches=False)
    return _opened(_HybridCache(commands, far, rules))


@asynccontextmanager
async def _opened(cache: _HybridCache[V]) -> AsyncGenerator[Cache[V]]:
    async with cache.kept():
        yield cache


class _HybridCache(Generic[V]):
    def __init__(self, commands: TrackedCommands, far: RedisCache[V], rules: Rules[V]) -> None:
        self._commands = commands
        self._far = far
        self._rules = rules
        self._clock = rules.clock
        self.counts = far.counts
        # What leaves memory is still in Redis: its evictions and expiries are not the cache's.
        self._near = Store(rules, Counts())
        self._keys = Tokens()  # of what is being read; the far cache's are of what is being loaded
        self._tags = Tokens()
        far.reach.on_loss = self._forget_all
        self._hears = False
        self._is_ready = asyncio.Event()
        self._l1_hits = 0

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        try:
            # Listened first: a server that is started anew afterwards is heard of.
            async with beside(self._listen):
                with anyio.move_on_after(self._far.reach.timeout):
                    await self._is_ready.wait()
                async with self._far.kept():
                    yield
        finally:
            self._hears = False
            self._forget_all()

    @overload
    async def get(self, key: str, /) -> V | None: ...
    @overload
    async def get(self, key: str, default: D, /) -> V | D: ...
    async def get(self, key: str, default: D | None = None, /) -> V | D | None:
        entry = self._near.entries.get(key)
        if entry is not None and entry.note is None and (entry.expires == math.inf or entry.expires > self._clock()):
            entry.uses += 1
            self._l1_hits += 1
            return entry.value
        entry = self._near.find(key)
        if entry is not None:
            self._l1_hits += 1
            return deepcopy(entry.value) if entry.is_mutable else entry.value
        looked = await self._looked(key, (), None)
        return default if looked is None else looked.value

    async def set(self, key: str, value: V, /, *, ttl: float | None = None) -> None:
        await self.set_many({key: value}, ttl=ttl)

    async def delete(self, key: str, /) -> bool:
        self._forget(key)
        try:
            return await self._far.delete(key)
        finally:
            self._forget(key)

    async def clear(self) -> None:
        self._forget_all()
        try:
            await self._far.clear()
        finally:
            self._forget_all()

    async def get_many(self, keys: Iterable[str], /) -> dict[str, V]:
        found: dict[str, V] = {}
        tokens: dict[str, Token] = {}
        began = self._clock()
        for key in dict.fromkeys(keys):
            entry = self._near.find(key)
            if entry is None:
                tokens[key] = self._keys.take(key)
            else:
                self._l1_hits += 1
                found[key] = deepcopy(entry.value) if entry.is_mutable else entry.value
        if tokens:
            self._far.check_open()
            come = await self._far.remote.look_many(tokens)
            self.counts.hits += len(come)
            self.counts.l2_hits += len(come)
            self.counts.misses += len(tokens) - len(come)
            for key, looked in come.items():
                self._fill(key, looked, began, tokens[key], ())
                found[key] = looked.value
        return found

    async def set_many(self, values: Mapping[str, V], /, *, ttl: float | None = None) -> None:
        for key in values:
            self._forget(key)
        try:
            await self._far.set_many(values, ttl=ttl)
        finally:
            for key in values:
                self._forget(key)

    async def health(self) -> Health:
        said = await self._far.health()
        told = figures(self.stats(), max_size=self._rules.max_size)
        if said.status == "pass" and not self._hears:
            reason = "values are read in Redis each time: it is not heard what changes there"
            return Health("warn", "cache", reason, told)
        return Health(said.status, "cache", said.reason, told)

    def stats(self) -> CacheStats:
        self.counts.hits += self._l1_hits
        self.counts.l1_hits += self._l1_hits
        self._l1_hits = 0
        return self.counts.stats(len(self._near.entries), self._near.weight)

    # -------------------------------------------------------------------------------- what `cached` asks of a cache

    def shortest(self, ttl: float | None, /) -> float:
        return self._far.shortest(ttl)

    def ticket(self, key: str, tags: tuple[str, ...], /) -> Ticket:
        return self._far.ticket(key, tags)

    async def find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None, /) -> Found[V] | None:
        entry = self._near.find(key)
        if entry is not None:
            self._l1_hits += 1
            left = entry.expires if entry.expires == math.inf else entry.expires - self._clock()
            return Found(entry.value, left, is_mutable=entry.is_mutable)
        looked = await self._looked(key, tags, ticket)
        return None if looked is None else Found(looked.value, looked.left)

    async def claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, /, *, least: float) -> Found[V] | None:
        return await self._far.claim(key, tags, ticket, least=least)

    async def keep(self, key: str, value: V, ticket: Ticket, ttl: float | None, grace: float, /) -> None:
        try:
            await self._far.keep(key, value, ticket, ttl, grace)
        finally:
            self._forget(key)

    async def release(self, key: str, ticket: Ticket, /) -> None:
        await self._far.release(key, ticket)

    async def drop(self, key: str, /) -> None:
        self.counts.invalidations += await self.delete(key)

    async def drop_tags(self, tags: tuple[str, ...], /) -> None:
        for tag in tags:
            self._tags.drop(tag)
        try:
            await self._far.drop_tags(tags)
        finally:
            for tag in tags:
                self._tags.drop(tag)

    # ------------------------------------------------------------------------------------------- memory, kept true

    async def _looked(self, key: str, tags: tuple[str, ...], ticket: Ticket | None) -> Looked[V] | None:
        token = self._keys.take(key)
        tag_tokens = tuple(map(self._tags.take, tags))
        began = self._clock()
        looked = await self._far.looked(key, tags, ticket)
        if looked is not None and all(map(is_short, tags)):
            self._fill(key, looked, began, token, tag_tokens)
        return looked

    def _fill(self, key: str, looked: Looked[V], began: float, token: Token, tags: tuple[Token, ...]) -> None:
        left = looked.left - (self._clock() - began)
        if self._hears and not token.dropped and is_short(key) and left > 0:
            is_mutable = not is_frozen(looked.value)
            try:
                value = deepcopy(looked.value) if is_mutable else looked.value
                self._near.put(key, value, left, tags, is_mutable=is_mutable)
            except Exception:  # noqa: BLE001 - what cannot be copied or weighed is read in Redis each time
                return

    def _forget(self, key: str) -> None:
        self._keys.drop(key)
        self._near.drop(key)

    def _forget_all(self) -> None:
        self._keys.drop_all()
        self._tags.drop_all()
        self._near.clear()

    async def _listen(self) -> None:
        while True:
            try:
                async with self._commands.invalidations(self._far.layout.prefix.decode()) as feed:
                    self._hear()
                    async for event in feed:
                        if isinstance(event, Lost):
                            self._lose(event.reason)
                        elif isinstance(event, Resumed):
                            self._hear()
                        elif event.keys is None:
                            self._forget_all()
                        else:
                            for name in event.keys:
                                self._change(self._far.layout.name(name))
                self._lose("the feed of what changes is over")
            except HeykitError as error:
                self._lose(str(error))
            except Exception:
                logger.exception("what changes in Redis is not heard, and nothing is kept in memory")
                self._lose("the feed of what changes has failed")
            finally:
                self._is_ready.set()
            await anyio.sleep(_PAUSE)

    def _hear(self) -> None:
        if self._is_ready.is_set():
            self._far.reach.doubt("it was not heard for a while")
        self._forget_all()
        self._hears = True
        self._is_ready.set()

    def _lose(self, reason: str) -> None:
        if self._hears:
            self._hears = False
            self._forget_all()
            self._far.reach.doubt(reason)

    def _change(self, name: bytes) -> None:
        """Forget what has changed in Redis, whoever has changed it."""
        if name == GENERATION:
            self._forget_all()
        elif name.startswith(TAG):
            self._tags.drop(_text(name[len(TAG) :]))
        elif not name.startswith(b"#"):
            self._forget(_text(name))


def _text(name: bytes) -> str:
    # What is no text is not of ours; it may be told of nevertheless.
    try:
        return name.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return ""
