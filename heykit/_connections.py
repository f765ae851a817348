"""A pool of connections to a server, whichever it is: fair, bounded, and never stuck on a server that went away.

Connections are opened by tasks of the pool, never of the caller: a caller with a short time limit would cancel the
connecting each time, and a cold pool would never warm up. A connection goes to whoever has waited longest. While the
server is away one task asks after it, a few times a second, for as long as somebody waits: an absence that is shorter
than their time limit is a delay, and they are served the moment it is back.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine
from copy import copy
from dataclasses import dataclass
from typing import Final, Generic

import anyio

from heykit._connection_leaks import Leaks
from heykit._connection_limits import Limits
from heykit._driver import C, Driver
from heykit.errors import HeykitError, Unavailable

logger = logging.getLogger("heykit.connections")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.2  # seconds between attempts to connect, doubled up to the longest
_GOODBYE: Final = 1.0  # seconds for one that is replaced; until then its place is not given to another
_LIFETIME_SPREAD: Final = 0.1  # of the lifetime: connections opened together are not replaced together


@dataclass(eq=False)
class _Waiter(Generic[C]):
    granted: asyncio.Future[C]


class Pool(Generic[C]):
    """Lends the connections that a driver opens."""

    def __init__(
        self,
        driver: Driver[C],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[], float] = random.random,
    ) -> None:
        self._driver = driver
        self._limits = limits
        self._clock = clock
        self._entropy = entropy
        self._open: dict[C, float] = {}  # with the time it is to be replaced
        self._idle: deque[tuple[C, float]] = deque()
        self._waiting: deque[_Waiter[C]] = deque()
        self._connects: set[asyncio.Task[bool]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._leaks = Leaks(limits.held)
        self._refusal: HeykitError | None = None  # of the latest attempt to connect
        self._retired: set[C] = set()  # of those open at the server: they are closing
        self._closed = False
        self._acquired = 0
        self._timed_out = 0
        self._lost = 0
        self._waited = 0.0

    def start(self) -> None:
        """Open the least number of connections, and look after those that lie idle."""
        self._grow()
        if not math.isinf(self._between_looks):
            self._in_background(self._maintain())

    def taken(self) -> C | None:
        """Give a connection at once, where one lies idle that was used a moment ago."""
        if not self._idle or self._closed:
            return None
        connection, since = self._idle[-1]
        now = self._clock()
        if connection.is_closed() or now - since >= self._limits.health_check_interval or self._open[connection] <= now:
            return None
        self._idle.pop()
        self._lent(connection)
        return connection

    async def acquire(self) -> C:
        """Give a connection that was alive a moment ago. Raises Unavailable after `connection_timeout` seconds."""
        started = self._clock()
        while True:
            connection, idle_since = await self._next(self._left(started))
            if await self._alive(connection, idle_since, self._left(started)):
                self._lent(connection)
                self._waited += self._clock() - started
                return connection

    def _left(self, started: float) -> float:
        return self._limits.connection_timeout - (self._clock() - started)

    def take_back(self, connection: C) -> None:
        """Take back what is clean."""
        self._leaks.returned(connection)
        self._give(connection)

    async def release(self, connection: C) -> None:
        """Clean it and take it back. One not cleaned in time is dropped."""
        self._leaks.returned(connection)
        try:
            if self._driver.clean is not None:
                with anyio.CancelScope(shield=True):
                    await self._driver.clean(connection, self._limits.connection_timeout)
        except BaseException as error:
            self._drop(connection)
            if not isinstance(error, Exception):
                raise
        else:
            self._give(connection)

    def release_later(self, connection: C) -> None:
        """Take it back in a task of the pool's own, for a caller who must not wait."""
        self._in_background(self.release(connection))

    async def close(self) -> None:
        """Refuse who waits, stop connecting, close what is idle in order and what is still in use at once."""
        self._closed = True
        for waiter in self._waiting:
            _refuse(waiter, self._driver.closed("was closed"))
        self._waiting.clear()
        tasks: list[asyncio.Task[bool] | asyncio.Task[None]] = [*self._connects, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = [connection.close(timeout=self._limits.connection_timeout) for connection, _ in self._idle]
        await asyncio.gather(*closing, return_exceptions=True)
        for connection in [*self._open, *self._retired]:
            self._leaks.returned(connection)
            connection.terminate()
        await asyncio.sleep(0)  # transports that were aborted leave the loop on its next turn

    def stats(self) -> dict[str, int | float]:
        in_use = len(self._open) - len(self._idle)
        return {
            "max_connections": self._limits.max_connections,
            "in_use": in_use,
            "idle": sum(not connection.is_closed() for connection, _ in self._idle),
            "utilization": in_use / self._limits.max_connections,
            "waiting": sum(not waiter.granted.done() for waiter in self._waiting),
            "acquired": self._acquired,
            "timed_out": self._timed_out,
            "reconnects": self._lost,
            "wait_seconds": self._waited,
        }

    def _lent(self, connection: C) -> None:
        self._acquired += 1
        self._leaks.lent(connection)

    async def _next(self, time_limit: float) -> tuple[C, float]:
        if self._closed:
            raise self._driver.closed("is closed")
        while self._idle and time_limit > 0:
            connection, since = self._idle.pop()  # the one used last: those beyond need grow old
            if self._open[connection] > self._clock():
                return connection, since
            self._retire(connection)
        waiter = _Waiter[C](asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._grow()
        try:
            async with asyncio.timeout(time_limit):
                return await waiter.granted, self._clock()
        except BaseException as error:
            self._give_back(waiter)
            if isinstance(error, TimeoutError):
                self._timed_out += 1
                raise self._why_late() from None
            raise

    def _give_back(self, waiter: _Waiter[C]) -> None:
        """Pass on what was granted to a caller who can no longer take it."""
        granted = waiter.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self._give(granted.result())
        elif waiter in self._waiting:
            self._waiting.remove(waiter)

    def _why_late(self) -> Unavailable:
        within = f"within {self._limits.connection_timeout:g} seconds"
        if self._refusal is not None:
            reason = str(self._refusal)
        elif len(self._open) < self._limits.max_connections:
            reason = f"no connection to {self._driver.server} could be opened {within}"
        else:
            count = self._limits.max_connections
            reason = f"all {count} connections to {self._driver.server} were in use and none free {within}"
        return Unavailable(reason, had_no_effect=True)

    async def _alive(self, connection: C, idle_since: float, time_limit: float) -> bool:
        if connection.is_closed():
            self._drop(connection)
            return False
        if self._clock() - idle_since < self._limits.health_check_interval:
            return True
        try:
            await self._driver.ask(connection, time_limit)
        except BaseException as error:
            self._drop(connection)
            if not isinstance(error, Exception):
                raise
            return False
        return True

    def _give(self, connection: C) -> None:
        if self._closed or connection.is_closed():
            self._drop(connection)
        elif self._open[connection] <= self._clock():
            self._retire(connection)
        else:
            self._pass_on(connection)

    def _pass_on(self, connection: C) -> None:
        if (waiter := self._first_waiter()) is not None:
            waiter.granted.set_result(connection)
        else:
            self._idle.append((connection, self._clock()))

    def _first_waiter(self) -> _Waiter[C] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.granted.done():
                return waiter
        return None

    def _drop(self, connection: C) -> None:
        connection.terminate()
        del self._open[connection]
        self._lost += 1
        self._grow()

    def _retire(self, connection: C) -> None:
        del self._open[connection]
        self._retired.add(connection)
        self._in_background(self._end(connection))

    async def _end(self, connection: C) -> None:
        """Close one; only then may another take its place at the server."""
        try:
            await connection.close(timeout=min(self._limits.connection_timeout, _GOODBYE))
        except Exception:
            logger.debug("a connection that was replaced did not close in order", exc_info=True)
        finally:
            self._retired.discard(connection)
            self._grow()

    @property
    def _between_looks(self) -> float:
        return min(self._limits.health_check_interval, self._limits.lifetime)

    async def _maintain(self) -> None:
        """Look, every so often, whether those that lie idle still answer, and keep their least number."""
        while True:
            await asyncio.sleep(max(self._between_looks, _LONGEST_PAUSE))
            now = self._clock()
            look = self._limits.health_check_interval
            resting = [pair for pair in self._idle if now - pair[1] >= look or self._open[pair[0]] <= now]
            for pair in resting:
                if pair in self._idle:  # nobody has taken it meanwhile
                    self._idle.remove(pair)
                    if await self._alive(*pair, self._limits.connection_timeout):
                        self._give(pair[0])
            self._grow()

    def _grow(self) -> None:
        """Open connections for those who wait, as far as there may be more; while it cannot be reached, one asks."""
        if self._closed:
            return
        wanted = min(self._wanted(), 1 if self._refusal is not None else self._limits.max_connections)
        while len(self._connects) < wanted:
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connects.add(task)
            task.add_done_callback(self._connected)

    def _wanted(self) -> int:
        open_ = len(self._open) + len(self._retired)
        return min(max(len(self._waiting), self._limits.min_connections - open_), self._limits.max_connections - open_)

    def _connected(self, task: asyncio.Task[bool]) -> None:
        self._connects.discard(task)
        if not task.cancelled() and (task.result() or self._waiting):  # those came after the others were refused
            self._grow()

    async def _connect(self) -> bool:
        """Open one, however often that takes, for as long as it is wanted; tell whether more may be opened."""
        pause = _FIRST_PAUSE
        while self._wanted() > 0:
            try:
                connection = await self._driver.connect()
            except Exception as failure:  # noqa: BLE001 - whatever it is belongs to those who wait
                self._refusal = self._driver.refused(failure)
                if not isinstance(self._refusal, Unavailable) or not self._limits.retry_attempts:
                    self._refuse_all(self._refusal)
                    return False
                if sum(not task.done() for task in self._connects) > 1:
                    return True  # one goes on asking
                await asyncio.sleep(pause * (0.5 + self._entropy() / 2))
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                self._refusal = None
                self._open[connection] = self._clock() + self._lifetime()
                self._pass_on(connection)  # however short its life, it is used once
                return True
        return True

    def _lifetime(self) -> float:
        return self._limits.lifetime * (1 - _LIFETIME_SPREAD * self._entropy())

    def _refuse_all(self, error: HeykitError) -> None:
        while (waiter := self._first_waiter()) is not None:
            _refuse(waiter, copy(error))  # each its own: a traceback grows on it

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _refuse(waiter: _Waiter[C], error: HeykitError) -> None:
    if not waiter.granted.done():
        waiter.granted.set_exception(error)
