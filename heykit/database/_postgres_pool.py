"""A pool of PostgreSQL connections: fair, bounded, and never stuck on a server that went away.

Connections are opened by tasks of the pool, never of the caller: a caller with a short time limit would cancel the
connecting each time, and a cold pool would never warm up. A connection goes to whoever has waited longest. What is
repeated has had no effect yet: connecting, and the choice of another connection when one is found dead.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from heykit.errors import DatabaseError, HeykitError, Unavailable

if TYPE_CHECKING:
    import asyncpg

_PAUSE = 0.1  # seconds between a series of attempts that failed and the next


@dataclass(frozen=True)
class Limits:
    """The pool's settings; times in seconds."""

    max_connections: int
    connection_timeout: float
    retry_attempts: int
    health_check_interval: float

    def __post_init__(self) -> None:
        if self.max_connections < 1 or self.connection_timeout <= 0 or self.retry_attempts < 0:
            raise ValueError(
                "max_connections must be at least 1, connection_timeout above 0, retry_attempts not below 0"
            )


@dataclass(eq=False)
class _Waiter:
    granted: asyncio.Future[asyncpg.Connection]
    since: float


class Pool:
    """Lends connections that `connecting` opens; `refused` says in heykit's words why one could not be opened."""

    def __init__(
        self,
        connecting: Callable[[], Awaitable[asyncpg.Connection]],
        refused: Callable[[Exception], HeykitError],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[], float] = random.random,
    ) -> None:
        self._connecting = connecting
        self._refused = refused
        self._limits = limits
        self._clock = clock
        self._entropy = entropy
        self._open: set[asyncpg.Connection] = set()
        self._idle: deque[tuple[asyncpg.Connection, float]] = deque()
        self._waiting: deque[_Waiter] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._releasing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._acquired = 0
        self._timed_out = 0

    def taken(self) -> asyncpg.Connection | None:
        """Give a connection at once, where one lies idle that was used a moment ago."""
        if not self._idle or self._closed:
            return None
        connection, since = self._idle[-1]
        if connection.is_closed() or self._clock() - since >= self._limits.health_check_interval:
            return None
        self._idle.pop()
        self._acquired += 1
        return connection

    async def acquire(self) -> asyncpg.Connection:
        """Give a connection that was alive a moment ago. Raises Unavailable after `connection_timeout` seconds."""
        started = self._clock()
        while True:
            connection, idle_since = await self._next(self._limits.connection_timeout - (self._clock() - started))
            if await self._alive(connection, idle_since):
                self._acquired += 1
                return connection

    def take_back(self, connection: asyncpg.Connection) -> None:
        """Take back what is clean."""
        self._give(connection)

    async def release(self, connection: asyncpg.Connection) -> None:
        """Clean it and take it back: no transaction, no locks, no settings. One not cleaned in time is dropped."""
        try:
            with anyio.CancelScope(shield=True):
                limit = self._limits.connection_timeout
                if not connection.is_closed() and connection.is_in_transaction():
                    await connection.execute("ROLLBACK", timeout=limit)
                if not connection.is_closed():
                    await connection.reset(timeout=limit)
        except BaseException as error:
            self._drop(connection)
            if not isinstance(error, Exception):
                raise
        else:
            self._give(connection)

    def release_later(self, connection: asyncpg.Connection) -> None:
        """Take it back in a task of the pool's own, for a caller who must not wait."""
        task = asyncio.get_running_loop().create_task(self.release(connection))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def close(self) -> None:
        """Refuse who waits, stop connecting, close what is idle in order and what is still in use at once."""
        self._closed = True
        for waiter in self._waiting:
            _refuse(waiter, DatabaseError("the database was closed"))
        self._waiting.clear()
        tasks = [*self._tasks, *self._releasing]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        closing = [connection.close(timeout=self._limits.connection_timeout) for connection, _ in self._idle]
        await asyncio.gather(*closing, return_exceptions=True)
        for connection in self._open:
            connection.terminate()
        await asyncio.sleep(0)  # transports that were aborted leave the loop on its next turn

    def stats(self) -> dict[str, int | float]:
        return {
            "max_connections": self._limits.max_connections,
            "in_use": len(self._open) - len(self._idle),
            "idle": sum(not connection.is_closed() for connection, _ in self._idle),
            "waiting": sum(not waiter.granted.done() for waiter in self._waiting),
            "acquired": self._acquired,
            "timed_out": self._timed_out,
        }

    async def _next(self, time_limit: float) -> tuple[asyncpg.Connection, float]:
        if self._closed:
            raise DatabaseError("the database is closed")
        if self._idle:
            return self._idle.pop()  # the one used last: those beyond need grow old
        waiter = _Waiter(asyncio.get_running_loop().create_future(), self._clock())
        self._waiting.append(waiter)
        self._grow()
        try:
            async with asyncio.timeout(time_limit):
                return await waiter.granted, self._clock()
        except BaseException as error:
            self._give_back(waiter)
            if isinstance(error, TimeoutError):
                self._timed_out += 1
                raise Unavailable(self._why_late()) from None
            raise

    def _give_back(self, waiter: _Waiter) -> None:
        """Pass on what was granted to a caller who can no longer take it."""
        granted = waiter.granted
        if granted.done() and not granted.cancelled() and granted.exception() is None:
            self._give(granted.result())
        elif waiter in self._waiting:
            self._waiting.remove(waiter)

    def _why_late(self) -> str:
        within = f"within {self._limits.connection_timeout:g} seconds"
        if len(self._open) < self._limits.max_connections:
            return f"no connection to PostgreSQL could be opened {within}"
        return f"all {self._limits.max_connections} connections to PostgreSQL were in use and none was free {within}"

    async def _alive(self, connection: asyncpg.Connection, idle_since: float) -> bool:
        if connection.is_closed():
            self._drop(connection)
            return False
        if self._clock() - idle_since < self._limits.health_check_interval:
            return True
        try:
            await connection.execute("SELECT 1", timeout=self._limits.connection_timeout)
        except BaseException as error:
            self._drop(connection)
            if not isinstance(error, Exception):
                raise
            return False
        return True

    def _give(self, connection: asyncpg.Connection) -> None:
        if self._closed or connection.is_closed():
            self._drop(connection)
            return
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.granted.done():
                waiter.granted.set_result(connection)
                return
        self._idle.append((connection, self._clock()))

    def _drop(self, connection: asyncpg.Connection) -> None:
        connection.terminate()
        self._open.discard(connection)
        if not self._closed:
            self._grow()

    def _grow(self, pause: float = 0.0) -> None:
        """Open a connection for each who waits, as far as there may be more."""
        while len(self._tasks) < min(len(self._waiting), self._limits.max_connections - len(self._open)):
            task = asyncio.get_running_loop().create_task(self._add(pause))
            self._tasks.add(task)
            task.add_done_callback(self._added)

    def _added(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._closed:
            self._grow(_PAUSE)  # for those who came while this one failed

    async def _add(self, pause: float) -> None:
        started = self._clock()
        error: HeykitError | None = None
        for delay in (pause, *delays(self._limits.retry_attempts, self._limits.connection_timeout, self._entropy)):
            await asyncio.sleep(delay)
            if not self._waiting and error is not None:
                return
            try:
                connection = await self._connecting()
            except Exception as failure:  # noqa: BLE001 - whatever it is belongs to those who wait
                error = self._refused(failure)
                if not isinstance(error, Unavailable):
                    break
            else:
                self._open.add(connection)
                self._give(connection)
                return
        # With connections in use a waiter may still get one of them, unless no attempt can ever succeed.
        if error is not None and not (self._open and isinstance(error, Unavailable)):
            self._refuse_those_before(started, error)

    def _refuse_those_before(self, started: float, error: HeykitError) -> None:
        while self._waiting and self._waiting[0].since <= started:
            _refuse(self._waiting.popleft(), error)


def delays(attempts: int, within: float, entropy: Callable[[], float]) -> list[float]:
    """Spread further attempts over `within` seconds, each pause about twice the one before, out of step with others."""
    first = within / 2**attempts
    return [first * 2**attempt * (0.5 + entropy() / 2) / 2 for attempt in range(attempts)]


def _refuse(waiter: _Waiter, error: HeykitError) -> None:
    if not waiter.granted.done():
        waiter.granted.set_exception(error)
