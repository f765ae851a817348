"""The pool alone, over connections that only pretend."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.database._postgres_pool import Limits, Pool, delays
from heykit.errors import DatabaseError, HeykitError, Unavailable

if TYPE_CHECKING:
    import asyncpg


class Pretended:
    """A connection that is open until it is closed, and answers unless told to break."""

    def __init__(self) -> None:
        self.closed = False
        self.broken = False
        self.said: list[str] = []

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return False

    def terminate(self) -> None:
        self.closed = True

    async def execute(self, query: str, *, timeout: float) -> str:
        self.said.append(query)
        if self.broken:
            raise OSError
        return query

    async def reset(self, *, timeout: float) -> None:
        await self.execute("reset", timeout=timeout)

    async def close(self, *, timeout: float) -> None:
        self.closed = True


class Server:
    """Connects when it is up, and counts."""

    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.up.set()
        self.error: Exception | None = None
        self.attempts = 0
        self.opened: list[Pretended] = []

    async def connect(self) -> asyncpg.Connection:
        self.attempts += 1
        await self.up.wait()
        if self.error is not None:
            raise self.error
        self.opened.append(Pretended())
        return cast("asyncpg.Connection", self.opened[-1])


def refused(error: Exception) -> HeykitError:
    return error if isinstance(error, HeykitError) else Unavailable("away")


def pool_of(server: Server, size: int = 1, attempts: int = 2, clock: Callable[[], float] = lambda: 0.0) -> Pool:
    limits = Limits(max_connections=size, connection_timeout=0.5, retry_attempts=attempts, health_check_interval=30)
    return Pool(server.connect, refused, limits, clock=clock, entropy=lambda: 0.0)


async def turns(awaitable: Awaitable[object] | None = None) -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_cancelled_caller_does_not_cancel_the_connecting() -> None:
    """What was begun for one serves the next."""
    server = Server()
    server.up.clear()
    pool = pool_of(server)
    caller = asyncio.create_task(pool.acquire())
    await turns()
    caller.cancel()
    await turns()
    server.up.set()
    await pool.release(await pool.acquire())
    assert server.attempts == 1
    await pool.close()
    assert [connection.closed for connection in server.opened] == [True]


async def test_a_caller_cancelled_as_it_is_granted_passes_the_connection_on() -> None:
    """Nothing is lost between the grant and the cancellation."""
    server = Server()
    pool = pool_of(server)
    held = await pool.acquire()
    first = asyncio.create_task(pool.acquire())
    await turns()
    await pool.release(held)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert pool.stats()["in_use"] == 0
    assert await pool.acquire() is held
    await pool.close()


async def test_no_more_connections_than_allowed() -> None:
    """However many ask."""
    server = Server()
    pool = pool_of(server, size=3)

    async def work() -> None:
        connection = await pool.acquire()
        await turns()
        await pool.release(connection)

    await asyncio.gather(*(work() for _ in range(30)))
    assert len(server.opened) == 3
    assert pool.stats() == {"max_connections": 3, "in_use": 0, "idle": 3, "waiting": 0, "acquired": 30, "timed_out": 0}
    await pool.close()


async def test_connecting_is_repeated_as_often_as_allowed() -> None:
    """Then those who wait are told why."""
    server = Server()
    server.error = OSError()
    pool = pool_of(server, attempts=2)
    with pytest.raises(Unavailable, match="away"):
        await pool.acquire()
    assert server.attempts == 3
    await pool.close()


async def test_what_cannot_succeed_is_not_repeated() -> None:
    """A password that is refused once is refused again."""
    server = Server()
    server.error = DatabaseError("refused")
    pool = pool_of(server)
    with pytest.raises(DatabaseError, match="refused"):
        await pool.acquire()
    assert server.attempts == 1
    await pool.close()


async def test_a_connection_that_cannot_be_cleaned_is_dropped() -> None:
    """And the next caller gets another."""
    server = Server()
    pool = pool_of(server)
    connection = await pool.acquire()
    server.opened[0].broken = True
    await pool.release(connection)
    assert server.opened[0].closed
    assert await pool.acquire() is not connection
    await pool.close()


async def test_a_connection_is_tried_once_it_was_idle_for_long() -> None:
    """One that no longer answers is replaced."""
    time = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: time[0])
    await pool.release(await pool.acquire())
    time[0] = 29.0
    await pool.release(await pool.acquire())
    assert server.opened[0].said == ["reset", "reset"]
    time[0] = 60.0
    server.opened[0].broken = True
    with_another = await pool.acquire()
    assert server.opened[0].said[-1] == "SELECT 1"
    assert with_another is cast("asyncpg.Connection", server.opened[1])
    await pool.close()


async def test_closing_refuses_those_who_wait() -> None:
    """And everyone after."""
    server = Server()
    pool = pool_of(server)
    await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await turns()
    await pool.close()
    with pytest.raises(DatabaseError, match="closed"):
        await waiting
    with pytest.raises(DatabaseError, match="closed"):
        await pool.acquire()
    assert [connection.closed for connection in server.opened] == [True]


@pytest.mark.parametrize(("size", "timeout", "attempts"), [(0, 1.0, 0), (1, 0.0, 0), (1, 1.0, -1)])
def test_limits_that_make_no_sense(size: int, timeout: float, attempts: int) -> None:
    """They are refused with what is allowed."""
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        Limits(size, timeout, attempts, 30)


@given(attempts=st.integers(0, 12), within=st.floats(0.01, 100), chance=st.floats(0, 1, exclude_max=True))
def test_further_attempts_fit_into_the_time_limit(attempts: int, within: float, chance: float) -> None:
    """And each pause is longer than the one before."""
    pauses = delays(attempts, within, lambda: chance)
    assert len(pauses) == attempts
    assert sum(pauses) <= within
    assert pauses == sorted(pauses)
