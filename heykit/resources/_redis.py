"""Redis over redis-py's connections: a fair pool, one exchange at a time on each, and feeds of what is sent."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

from redis import exceptions

from heykit._connection_limits import Limits
from heykit._connections import Pool
from heykit._driver import Driver
from heykit._feeds import Feed, Feeds, Invalidated, Lost, Resumed, Source
from heykit._finish import finish
from heykit._resource_health import resource_health
from heykit.errors import RedisError, TimedOut, Unavailable
from heykit.health import Health
from heykit.resources._redis_errors import connecting_failed, kind_of, refusal_in, refused
from heykit.resources._redis_feeds import invalidations, subscription
from heykit.resources._redis_link import PING, Link, Target
from heykit.resources._redis_wire import check_shared, name_of, packed
from heykit.resources.protocol import Argument, Command, Message, Redis

T = TypeVar("T")

_HEARTBEAT, _HEARTBEAT_LIMIT = 1.0, 0.7  # seconds
_MULTI, _EXEC, _DISCARD = packed(["MULTI"]), packed(["EXEC"]), packed(["DISCARD"])


@asynccontextmanager
async def open_redis(url: str, limits: Limits, command_timeout: float) -> AsyncGenerator[Redis]:
    client = _Redis(Target(url), limits, command_timeout)
    try:
        client.pool.take_back(await client.pool.acquire())
        client.pool.start()
        yield client
    finally:
        client.feeds.close()
        await finish(client.pool.close())


class _Redis:
    def __init__(
        self, target: Target, limits: Limits, command_timeout: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._limits = limits
        self._command_timeout = command_timeout
        self._clock = clock
        self._repeated = 0
        self._knows_multi = False
        self.feeds = Feeds(lambda: RedisError("the Redis client is closed"))
        self._time_to_open = limits.connection_timeout + command_timeout
        driver = Driver[Link](
            "Redis",
            self._connect,
            refused=lambda error: connecting_failed(error, target.server),
            ask=lambda link, limit: link.exchange(PING, 1, limit),
            closed=lambda said: RedisError(f"the Redis client {said}"),
        )
        self.pool = Pool(driver, limits)

    async def ping(self) -> None:
        """Raise where the server is not ready; that its user may not run PING says that it is."""
        [reply] = await self._asked(PING, 1, idempotent=True)
        if isinstance(reply, exceptions.ResponseError) and kind_of(reply) != "NOPERM":
            raise refused(reply, "PING", self._target.server)

    async def execute(self, *command: Argument, idempotent: bool = False) -> object:
        check_shared(command)
        [reply] = await self._asked(packed(command), 1, idempotent=idempotent)
        if (refusal := refusal_in(reply)) is not None:
            raise refused(refusal, name_of(command), self._target.server)
        return reply

    async def execute_many(
        self, commands: Sequence[Command], /, *, atomic: bool = False, idempotent: bool = False
    ) -> list[object]:
        commands = [*commands]
        for command in commands:
            check_shared(command)
        if not commands:
            return []
        packet = b"".join(map(packed, commands))
        if not atomic:
            return self._all(await self._asked(packet, len(commands), idempotent=idempotent), commands)
        await self._require_multi()
        replies = await self._asked(_MULTI + packet + _EXEC, len(commands) + 2, idempotent=idempotent)
        if isinstance(replies[-1], list):
            return self._all(replies[-1], commands)
        return self._all(replies[1:-1], commands, nothing_ran=True)  # one of them was refused, so none has run

    async def _require_multi(self) -> None:
        """See once that there are transactions for us: where MULTI is refused, what follows it runs by itself."""
        if not self._knows_multi:
            [began, _] = await self._asked(_MULTI + _DISCARD, 2, idempotent=True)
            if isinstance(began, exceptions.ResponseError):
                raise refused(began, "MULTI", self._target.server)
            self._knows_multi = True

    def subscribe(
        self, *channels: str, patterns: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[Message | Lost | Resumed]]:
        if not channels and not patterns:
            raise RedisError("a subscription has a channel or a pattern: give one")
        return self._fed(subscription(self._target, self._time_to_open, channels, patterns))

    def invalidations(self, *prefixes: str) -> AbstractAsyncContextManager[AsyncIterator[Invalidated | Lost | Resumed]]:
        # Whoever keeps copies serves them until a silence is noticed, so this one is watched more closely.
        return self._fed(
            invalidations(self._target, self._time_to_open, prefixes), interval=_HEARTBEAT, limit=_HEARTBEAT_LIMIT
        )

    async def health(self) -> Health:
        return await resource_health(self.ping, self.stats)

    def stats(self) -> Mapping[str, int | float]:
        return {**self.pool.stats(), "repeated": self._repeated}

    async def _connect(self) -> Link:
        return await self._target.connect(self._limits.connection_timeout, protocol=3)

    async def _asked(self, packet: bytes, count: int, *, idempotent: bool) -> list[object]:
        """Exchange, again where that cannot hurt: `connection_timeout` and `command_timeout` together bound it all."""
        limits = self._limits
        ends = self._clock() + limits.connection_timeout + self._command_timeout
        attempts_left = limits.retry_attempts
        had_no_effect = True
        while True:
            try:
                link = await self._live_link()
            except Unavailable as error:
                error.had_no_effect = had_no_effect
                raise
            try:
                return await link.exchange(packet, count, min(self._command_timeout, ends - self._clock()))
            except Unavailable as error:
                error.had_no_effect = had_no_effect = had_no_effect and error.had_no_effect
                in_time = math.isinf(ends) or self._clock() + limits.connection_timeout < ends
                may = (idempotent or had_no_effect) and not isinstance(error, TimedOut)
                if not may or not in_time or not attempts_left:
                    raise
            finally:
                self.pool.take_back(link)
            attempts_left -= 1
            self._repeated += 1

    async def _live_link(self) -> Link:
        """Give a connection on which nothing is amiss; those that the server has closed meanwhile are dropped."""
        while True:
            link = self.pool.taken() or await self.pool.acquire()
            try:
                stale = await link.is_stale()
                if stale:
                    await link.drop()
            except BaseException:
                self.pool.take_back(link)
                raise
            if not stale:
                return link
            self.pool.take_back(link)

    def _all(
        self, replies: Sequence[object], commands: Sequence[Command], *, nothing_ran: bool = False
    ) -> list[object]:
        found = [(at, refusal) for at, reply in enumerate(replies) if (refusal := refusal_in(reply)) is not None]
        if not found and not nothing_ran:
            return [*replies]
        if not found:
            raise RedisError("the commands were not run, and Redis does not say why")
        count, server = len(commands), self._target.server
        errors = [
            refused(refusal, f"command {at + 1} of {count}, {name_of(commands[at])}", server) for at, refusal in found
        ]
        errors[0].had_no_effect = errors[0].had_no_effect and (
            nothing_ran or (len(errors) == count and all(error.had_no_effect for error in errors))
        )
        raise errors[0]

    def _fed(
        self, opening: Callable[[], Awaitable[Source[T]]], *, interval: float = math.inf, limit: float = math.inf
    ) -> AbstractAsyncContextManager[AsyncIterator[T | Lost | Resumed]]:
        interval = min(interval, self._limits.health_check_interval)
        return self.feeds.opened(Feed(opening, interval=interval, limit=min(limit, self._command_timeout)))
