"""PostgreSQL that is killed, frozen, or asked by people who cannot wait.

`HEYKIT_CHAOS=full pytest tests/chaos` lets each fault last as long as the bars ask, and asks for full throughput too.
"""

from __future__ import annotations

import contextlib
import time

import anyio
import anyio.lowlevel

from heykit.database import Database, connect, postgres
from heykit.errors import HeykitError, Unavailable
from heykit.resilience import Retry, retry
from tests.chaos.load import Load, Times, cancelled_at_random, require_recovery
from tests.servers import PostgresServer


async def every_slot_works(database: Database, slots: int) -> None:
    """Raise unless as many blocks as there are connections can be open at once, and none is left."""
    with anyio.fail_after(5):
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(slots):
                connection = await stack.enter_async_context(database.connection())
                assert await connection.fetch_value("SELECT 1") == 1
    assert database.stats()["in_use"] == 0
    assert database.stats()["waiting"] == 0


async def test_reads_survive_a_kill_and_a_restart(server: PostgresServer) -> None:
    times = Times()
    async with connect(server.url(), max_connections=10) as database:

        @retry(Retry(attempts=10, deadline=10), idempotent=True)
        async def read() -> None:
            assert await database.fetch_value("SELECT 1") == 1

        load = Load(read)
        await load.while_(lambda: times.kill_and_restart(server))
        await every_slot_works(database, 10)
    assert len(load.failed) <= 5, [call.error for call in load.failed][:5]
    require_recovery(load, times)


async def test_writes_fail_only_in_flight_and_none_is_applied_twice(server: PostgresServer) -> None:
    times = Times()
    numbers = iter(range(10_000_000))
    acknowledged: set[int] = set()
    async with connect(server.url(), max_connections=10) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS written (number INTEGER)")
        await database.execute("TRUNCATE written")

        async def write() -> None:
            number = next(numbers)
            await database.execute("INSERT INTO written (number) VALUES ($1)", number)
            acknowledged.add(number)

        load = Load(write)
        await load.while_(lambda: times.kill_and_restart(server))
        await every_slot_works(database, 10)
        rows = await database.fetch("SELECT number FROM written")
    found = [row["number"] for row in rows]
    assert len(found) == len(set(found)), "a write was applied twice"
    assert acknowledged <= set(found), "a write that was acknowledged is gone"
    assert all(isinstance(call.error, Unavailable) for call in load.failed)
    assert len(load.failed) <= 10
    require_recovery(load, times)


async def test_nobody_waits_for_a_server_that_is_frozen_longer_than_the_limits(server: PostgresServer) -> None:
    limit = 1.0
    times = Times()
    async with connect(server.url(), max_connections=10, connection_timeout=limit, command_timeout=limit) as database:

        async def ask() -> None:
            with anyio.fail_after(limit):
                await database.fetch_value("SELECT 1")

        load = Load(ask)
        await load.while_(lambda: times.freeze_and_thaw(server))
        assert load.longest <= limit + 0.5
        with anyio.fail_at(anyio.current_time() + 5 - (time.monotonic() - times.up)):
            await every_slot_works(database, 10)


async def test_requests_cancelled_at_random_moments_leave_nothing_and_get_nobody_elses_answer(
    server: PostgresServer,
) -> None:
    async with connect(server.url(), max_connections=10) as database:

        async def ask(number: int) -> object:
            if number % 3 == 0:
                return await database.fetch_value("SELECT $1 + 0", number)
            if number % 3 == 1:
                async with database.transaction() as transaction:
                    return await transaction.fetch_value("SELECT $1 + 0", number)
            async with database.connection() as connection:
                await connection.fetch_value("SELECT pg_sleep(0.003)")
                return await connection.fetch_value("SELECT $1 + 0", number)

        wrong = await cancelled_at_random(ask, longest=0.02)
        with anyio.fail_after(5):
            while database.stats()["in_use"]:
                await anyio.sleep(0.01)
        await every_slot_works(database, 10)
    assert wrong == []


async def test_a_cold_pool_warms_up_though_nobody_can_wait_for_it(server: PostgresServer) -> None:
    answers = 0
    async with postgres(server.url(), max_connections=10, max_lifetime=0.05) as database:
        await anyio.sleep(0.06)  # what the opening left in the pool is too old
        with anyio.move_on_after(1):
            while answers < 10:
                try:
                    with anyio.fail_after(0.005):
                        await database.fetch_value("SELECT 1")
                    answers += 1
                except (TimeoutError, HeykitError):
                    await anyio.lowlevel.checkpoint()
    assert answers == 10
