"""The pool alone, over connections that only pretend."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

import pytest

from heykit._connection_limits import Limits
from heykit._connections import Pool
from heykit._driver import Driver
from heykit.database._postgres_session import cleaned
from heykit.errors import DatabaseError, HeykitError, Unavailable

if TYPE_CHECKING:
    import asyncpg


class Pretended:
    """A connection that is open until it is closed, and answers unless told to break."""

    def __init__(self) -> None:
        self.closed = False
        self.broken = False
        self.begins_late = False  # a BEGIN whose answer comes with that of the next statement
        self.transaction = False
        self.hangs = False
        self.gate = asyncio.Event()  # before it is closed
        self.gate.set()
        self.said: list[str] = []

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return self.transaction

    def terminate(self) -> None:
        self.closed = True

    async def execute(self, query: str, *, timeout: float) -> str:
        self.said.append(query)
        if self.broken:
            raise OSError
        if self.hangs:
            await asyncio.sleep(timeout)
            raise TimeoutError
        self.transaction = self.begins_late or (self.transaction and query != "ROLLBACK")
        self.begins_late = False
        return query

    async def reset(self, *, timeout: float) -> None:
        await self.execute("reset", timeout=timeout)

    async def close(self, *, timeout: float) -> None:
        await self.gate.wait()
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


def pool_of(
    server: Server,
    size: int = 1,
    attempts: int = 2,
    clock: Callable[[], float] = lambda: 0.0,
    *,
    timeout: float = 0.5,
    least: int = 0,
    lifetime: float = math.inf,
    held: float = math.inf,
) -> Pool[asyncpg.Connection]:
    limits = Limits(size, timeout, attempts, 30, min_connections=least, lifetime=lifetime, held=held)
    return pool_with(server, limits, clock)


def pool_with(server: Server, limits: Limits, clock: Callable[[], float] = time.monotonic) -> Pool[asyncpg.Connection]:
    driver = Driver(
        "PostgreSQL",
        server.connect,
        refused,
        ask=lambda connection, limit: connection.execute("SELECT 1", timeout=limit),
        clean=cleaned,
        closed=DatabaseError,
    )
    return Pool(driver, limits, clock=clock, entropy=lambda: 0.0)


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
    assert pool.stats() == {
        "max_connections": 3, "in_use": 0, "idle": 3, "utilization": 0, "waiting": 0, "acquired": 30, "timed_out": 0,
        "reconnects": 0, "wait_seconds": 0,
    }  # fmt: skip
    await pool.close()


async def test_connecting_is_repeated_for_as_long_as_somebody_waits() -> None:
    """By one task, however many wait; then they are told why."""
    server = Server()
    server.error = OSError()
    pool = pool_of(server, size=5, timeout=0.2)
    outcomes = await asyncio.gather(*(pool.acquire() for _ in range(5)), return_exceptions=True)
    assert {str(outcome) for outcome in outcomes} == {"away"}
    assert all(isinstance(outcome, Unavailable) and outcome.had_no_effect for outcome in outcomes)
    tried = server.attempts
    assert 5 < tried < 15  # the five that began together, and then one after another
    await asyncio.sleep(0.2)
    assert server.attempts <= tried + 1
    await pool.close()


async def test_those_who_wait_are_all_served_the_moment_it_is_back() -> None:
    server = Server()
    server.error = OSError()
    pool = pool_of(server, size=5, timeout=5)
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(5)]
    await asyncio.sleep(0.1)
    server.error = None
    async with asyncio.timeout(1):
        assert len({*await asyncio.gather(*waiting)}) == 5
    await pool.close()


async def test_without_further_attempts_they_are_told_at_once() -> None:
    server = Server()
    server.error = OSError()
    pool = pool_of(server, attempts=0, timeout=60)
    async with asyncio.timeout(1):
        with pytest.raises(Unavailable, match="away"):
            await pool.acquire()
    assert server.attempts == 1
    await pool.close()


async def test_the_least_number_is_opened_at_the_start_and_again_when_one_is_lost() -> None:
    server = Server()
    pool = pool_of(server, size=5, least=3)
    pool.start()
    await turns()
    assert len(server.opened) == 3
    connection = await pool.acquire()
    connection.terminate()
    await pool.release(connection)
    await turns()
    assert pool.stats()["idle"] == 3
    assert pool.stats()["reconnects"] == 1
    await pool.close()
    assert all(connection.closed for connection in server.opened)


async def test_one_that_is_old_is_replaced_when_it_comes_back() -> None:
    now = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: now[0], lifetime=100)
    first = await pool.acquire()
    now[0] = 99.0
    await pool.release(first)
    assert await pool.acquire() is first
    now[0] = 100.0
    await pool.release(first)
    assert await pool.acquire() is not first
    assert server.opened[0].closed
    assert pool.stats()["reconnects"] == 0
    await pool.close()


async def test_one_that_has_grown_old_while_it_lay_idle_is_replaced_before_it_is_used() -> None:
    now = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: now[0], lifetime=10)
    first = await pool.acquire()
    pool.take_back(first)
    now[0] = 10.0
    assert pool.taken() is None
    assert await pool.acquire() is not first
    assert server.opened[0].closed
    await pool.close()


async def test_closing_closes_what_is_just_being_replaced_too() -> None:
    now = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: now[0], lifetime=10)
    first = await pool.acquire()
    now[0] = 10.0
    pool.take_back(first)
    await pool.close()
    assert server.opened[0].closed


async def test_one_that_is_held_for_too_long_is_reported_once_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    pool = pool_of(server, held=0.01)
    await pool.release(await pool.acquire())
    assert caplog.messages == []
    connection = await pool.acquire()
    await asyncio.sleep(0.05)
    await pool.release(connection)
    [message] = caplog.messages
    place = f"it was taken at {__file__}:"
    assert message.startswith(f"a connection has been held for 0.01 s, and still is: {place}")
    assert message.endswith("in test_one_that_is_held_for_too_long_is_reported_once_with_its_place")
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


async def test_a_transaction_that_shows_only_when_it_is_cleaned_is_rolled_back() -> None:
    """Its BEGIN was under way when the caller was cancelled."""
    server = Server()
    pool = pool_of(server)
    connection = await pool.acquire()
    server.opened[0].begins_late = True
    await pool.release(connection)
    assert await pool.acquire() is connection
    assert not connection.is_in_transaction()
    assert server.opened[0].said == ["reset", "ROLLBACK", "reset"]
    await pool.close()


async def test_a_connection_is_tried_once_it_was_idle_for_long() -> None:
    """One that no longer answers is replaced."""
    now = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: now[0])
    await pool.release(await pool.acquire())
    now[0] = 29.0
    await pool.release(await pool.acquire())
    assert server.opened[0].said == ["reset", "reset"]
    now[0] = 60.0
    server.opened[0].broken = True
    with_another = await pool.acquire()
    assert server.opened[0].said[-1] == "SELECT 1"
    assert with_another is cast("asyncpg.Connection", server.opened[1])
    await pool.close()


async def test_those_that_lie_idle_are_tried_now_and_then_and_replaced() -> None:
    """Before anybody wants them, where their least number is to be kept."""
    server = Server()
    limits = Limits(1, 0.5, 2, 0.2, min_connections=1)
    pool = pool_with(server, limits)
    pool.start()
    await turns()
    server.opened[0].broken = True
    async with asyncio.timeout(5):
        while len(server.opened) < 2:
            await asyncio.sleep(0.01)
    assert server.opened[0].said == ["SELECT 1"]
    assert server.opened[0].closed
    assert pool.stats()["acquired"] == 0
    await pool.close()


async def test_whoever_waits_longest_is_served_first() -> None:
    server = Server()
    pool = pool_of(server)
    held = await pool.acquire()
    served: list[int] = []

    async def work(number: int) -> None:
        connection = await pool.acquire()
        served.append(number)
        pool.take_back(connection)

    tasks = [asyncio.create_task(work(number)) for number in range(10)]
    await turns()
    pool.take_back(held)
    await asyncio.gather(*tasks)
    assert served == [*range(10)]
    await pool.close()


async def test_whoever_asks_again_as_he_is_refused_is_not_forgotten() -> None:
    server = Server()
    server.error = OSError()
    pool = pool_of(server, attempts=0, timeout=5)

    async def ask_again() -> object:
        with pytest.raises(Unavailable):
            await pool.acquire()
        server.error = None
        return await pool.acquire()

    async with asyncio.timeout(1):
        assert await ask_again() is cast("asyncpg.Connection", server.opened[0])
    await pool.close()


async def test_each_is_refused_with_an_error_of_his_own() -> None:
    server = Server()
    server.error = OSError()
    pool = pool_of(server, attempts=0)
    refusals = await asyncio.gather(*(pool.acquire() for _ in range(3)), return_exceptions=True)
    assert len({id(refusal) for refusal in refusals}) == 3
    assert {str(refusal) for refusal in refusals} == {"away"}
    await pool.close()


async def test_many_that_no_longer_answer_take_no_longer_than_one() -> None:
    server = Server()
    now = asyncio.get_running_loop().time
    pool = pool_of(server, size=5, timeout=0.2, clock=now)
    connections = [await pool.acquire() for _ in range(5)]
    for pretended in server.opened:
        pretended.hangs = True
    for connection in connections:
        pool.take_back(connection)
    pool._idle = type(pool._idle)((connection, since - 60) for connection, since in pool._idle)
    server.up.clear()
    started = now()
    with pytest.raises(Unavailable):
        await pool.acquire()
    assert now() - started < 0.6
    await pool.close()


async def test_one_that_is_replaced_is_gone_before_another_is_opened() -> None:
    now = [0.0]
    server = Server()
    pool = pool_of(server, clock=lambda: now[0], lifetime=100)
    first = await pool.acquire()
    server.opened[0].gate.clear()
    now[0] = 100.0
    pool.take_back(first)
    waiting = asyncio.create_task(pool.acquire())
    await turns()
    assert len(server.opened) == 1
    server.opened[0].gate.set()
    assert await waiting is not first
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


@pytest.mark.parametrize(
    ("size", "timeout", "attempts"), [(0, 1.0, 0), (-1, 1.0, 0), (1, 0.0, 0), (1, math.nan, 0), (1, 1.0, -1)]
)
def test_limits_that_make_no_sense(size: int, timeout: float, attempts: int) -> None:
    """They are refused with what is allowed."""
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        Limits(size, timeout, attempts, 30)


@pytest.mark.parametrize(
    "wrong",
    [{"min_connections": -1}, {"min_connections": 3}, {"lifetime": 0.0}, {"lifetime": math.nan}, {"held": -1.0}],
)
def test_options_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(2, 1, 0, 30, **wrong)  # type: ignore[arg-type]
