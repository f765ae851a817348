"""What is PostgreSQL's own: a server that goes away and comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
import asyncpg
import pytest

from heykit.database import Connection, Database, connect, postgres
from heykit.errors import DatabaseError, Unavailable
from tests.servers import PostgresServer


async def the_loss_is_noticed(database: Database) -> None:
    """Let the loop see that the connections were closed."""
    while database.stats()["idle"]:
        await anyio.sleep(0.01)


async def everyone_is_served_again(database: Database) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(database.fetch_value, "SELECT 1")


async def test_a_server_that_is_killed_and_comes_back(server: PostgresServer) -> None:
    """Meanwhile requests are Unavailable and health fails with a reason; afterwards all works without a restart."""
    async with connect(server.url(), max_connections=4, connection_timeout=0.5, retry_attempts=1) as database:
        await everyone_is_served_again(database)
        server.kill()
        with pytest.raises(Unavailable):
            await database.fetch_value("SELECT 1")
        await the_loss_is_noticed(database)
        with pytest.raises(Unavailable, match="cannot connect to the PostgreSQL server at"):
            async with database.transaction():
                pass
        health = await database.health()
        assert health.status == "fail"
        assert "cannot connect" in health.reason
        server.start()
        await everyone_is_served_again(database)
        assert (await database.health()).status == "pass"
        assert database.stats()["in_use"] == 0


async def test_a_restart_nobody_notices(server: PostgresServer) -> None:
    """Connections found dead are replaced before anything is sent on them."""
    async with connect(server.url(), max_connections=4) as database:
        await everyone_is_served_again(database)
        server.stop()
        server.start()
        await the_loss_is_noticed(database)
        await everyone_is_served_again(database)
        async with database.transaction() as transaction:
            assert await transaction.fetch_value("SELECT 1") == 1


async def test_requests_wait_for_a_server_that_comes_back_in_time(server: PostgresServer) -> None:
    """Within `connection_timeout` an absence is a delay."""
    async with connect(server.url(), max_connections=2, connection_timeout=20, retry_attempts=8) as database:
        server.kill()
        await the_loss_is_noticed(database)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(database.fetch_value, "SELECT 1")
            await anyio.sleep(0.2)
            await asyncio.to_thread(server.start)


async def test_a_server_that_dies_inside_a_transaction(server: PostgresServer) -> None:
    """The block fails with Unavailable, and its calls are not made."""
    called: list[str] = []

    async def call() -> None:
        called.append("call")

    async def insert_while_killed(database: Database) -> None:
        async with database.transaction() as transaction:
            transaction.after_commit(call)
            await transaction.execute("INSERT INTO lost VALUES (1)")
            server.kill()

    async with connect(server.url(), connection_timeout=5) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS lost (id INTEGER)")
        with pytest.raises(Unavailable):
            await insert_while_killed(database)
        assert called == []
        server.start()
        assert await database.fetch_value("SELECT count(*) FROM lost") == 0


async def test_a_server_that_is_frozen(server: PostgresServer) -> None:
    """Every wait has an end: statements, health, closing; and it thaws."""
    async with connect(server.url(), command_timeout=0.3, connection_timeout=0.3, max_connections=2) as database:
        await everyone_is_served_again(database)
        server.freeze()
        try:
            for _ in range(4):
                with pytest.raises(Unavailable):
                    await database.fetch_value("SELECT 1")
            assert (await database.health()).status == "fail"
        finally:
            server.thaw()
        await anyio.sleep(0.7)
        await everyone_is_served_again(database)


async def test_closing_with_a_frozen_server(server: PostgresServer) -> None:
    """Connections that do not answer are dropped."""
    try:
        with anyio.fail_after(10):
            async with connect(server.url(), connection_timeout=0.3) as database:
                await database.fetch_value("SELECT 1")
                server.freeze()
    finally:
        server.thaw()


async def test_a_connection_idle_for_long_is_tried_first(postgres_url: str) -> None:
    """One that died silently is replaced, and the caller never hears of it."""
    async with connect(postgres_url, health_check_interval=0, max_connections=2) as database:
        async with database.connection() as one, database.connection() as other:
            dying = await one.fetch_value("SELECT pg_backend_pid()")
            await other.execute(f"SELECT pg_terminate_backend({dying})")
        for _ in range(3):
            assert dying != await database.fetch_value("SELECT pg_backend_pid()")


async def test_what_a_block_left_behind_is_gone(postgres_url: str) -> None:
    """Settings, locks and listening do not reach the next block."""
    async with connect(postgres_url, max_connections=1) as database:
        async with database.connection() as connection:
            await connection.execute("SET search_path = nowhere")
            await connection.execute("SELECT pg_advisory_lock(1)")
            await connection.execute("LISTEN news")
        assert await database.fetch_value("SHOW search_path") != "nowhere"
        assert await database.fetch_value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        assert await database.fetch("SELECT * FROM pg_listening_channels()") == []
        assert await database.fetch_value("SHOW timezone") == "UTC"


async def test_a_swallowed_error_does_not_pass_for_a_commit(postgres_url: str) -> None:
    """PostgreSQL answers COMMIT with ROLLBACK after a failure; the block says so."""

    async def insert_and_swallow(database: Database) -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO a VALUES (1)")
            with suppress(DatabaseError):
                await transaction.execute("SELEC 1")

    async with connect(postgres_url) as database:
        await database.execute("CREATE TABLE a (b INTEGER)")
        with pytest.raises(DatabaseError, match="rolled back"):
            await insert_and_swallow(database)
        assert await database.fetch_value("SELECT count(*) FROM a") == 0


async def test_errors_show_no_values(postgres_url: str) -> None:
    """Neither the server's, whose text quotes them, nor the driver's, nor what a traceback would print."""
    async with connect(postgres_url) as database:
        await database.execute("CREATE TABLE a (b INTEGER UNIQUE, c VARCHAR(3))")
        await database.execute("INSERT INTO a VALUES (4711, 'x')")
        for sql, value in [
            ("INSERT INTO a (b) VALUES ($1)", 4711),
            ("INSERT INTO a (b) VALUES ($1)", "4711"),
            ("INSERT INTO a (b) VALUES ($1)", 4711 * 10**9),
            ("INSERT INTO a (c) VALUES ($1)", "4711"),
            ("SELECT CAST(CAST($1 AS TEXT) AS INTEGER)", "x4711"),
        ]:
            with pytest.raises(DatabaseError) as caught:
                await database.execute(sql, value)
            assert "4711" not in str(caught.value)
            assert caught.value.__suppress_context__


async def test_the_argument_that_does_not_fit_is_named(postgres_url: str) -> None:
    """With what was expected."""
    async with connect(postgres_url) as database:
        with pytest.raises(DatabaseError, match=r"argument \$2 does not fit: expected str, got int"):
            await database.fetch("SELECT CAST($1 AS INTEGER), CAST($2 AS TEXT)", 1, 2)


async def test_two_transactions_that_wait_for_each_other(postgres_url: str) -> None:
    """One is rolled back and told to run again."""
    outcomes: list[str] = []
    async with connect(postgres_url) as database:
        await database.execute("CREATE TABLE a (b INTEGER PRIMARY KEY, c INTEGER); INSERT INTO a VALUES (1, 0), (2, 0)")
        both = anyio.Event()
        arrived: list[int] = []

        async def update(first: int, second: int) -> None:
            try:
                async with database.transaction() as transaction:
                    await transaction.execute("UPDATE a SET c = c + 1 WHERE b = $1", first)
                    arrived.append(first)
                    if len(arrived) == 2:
                        both.set()
                    await both.wait()
                    await transaction.execute("UPDATE a SET c = c + 1 WHERE b = $1", second)
                outcomes.append("done")
            except Unavailable as error:
                outcomes.append("again" if "run it again" in str(error) else str(error))

        async with anyio.create_task_group() as group:
            group.start_soon(update, 1, 2)
            group.start_soon(update, 2, 1)
    assert sorted(outcomes) == ["again", "done"]


async def test_what_is_cancelled_in_a_block_that_goes_on_leaves_no_transaction(postgres_url: str) -> None:
    async with connect(postgres_url, max_connections=1) as database:
        await database.execute("CREATE TABLE written (number INTEGER)")
        for number in range(100):
            async with database.connection() as connection:

                async def read(connection: Connection = connection) -> None:
                    async with connection.stream("SELECT 1") as rows:
                        async for _ in rows:
                            continue

                reading = asyncio.create_task(read())
                for _ in range(number % 20):
                    await asyncio.sleep(0)
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
            await database.execute("INSERT INTO written VALUES ($1)", number)


async def test_a_procedure_that_may_have_committed_is_not_called_again(postgres_url: str) -> None:
    async with connect(postgres_url) as database:
        await database.execute("CREATE TABLE ran (number INTEGER)")
        await database.execute(
            "CREATE PROCEDURE job() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO ran VALUES (1); COMMIT; "
            "RAISE EXCEPTION 'lost' USING ERRCODE = '40001'; END $$"
        )
        with pytest.raises(Unavailable) as lost:
            await database.execute("CALL job()")
        assert not lost.value.had_no_effect
        with pytest.raises(Unavailable) as lost:
            async with database.connection() as connection:
                await connection.execute("CALL job()")
        assert not lost.value.had_no_effect
        assert await database.fetch_value("SELECT count(*) FROM ran") == 2


async def test_a_statement_that_outlives_its_block_meets_nobody(postgres_url: str) -> None:
    async with connect(postgres_url, max_connections=1) as database, anyio.create_task_group() as tasks:
        outcomes: list[str] = []

        async def outlive(connection: Connection, sql: str) -> None:
            try:
                await connection.execute(sql)
            except DatabaseError as error:
                outcomes.append(str(error))
            except Unavailable:
                outcomes.append("lost")

        await database.execute("CREATE TABLE strays (number INTEGER)")
        async with database.connection() as connection:
            tasks.start_soon(outlive, connection, "SELECT pg_sleep(5)")
            tasks.start_soon(outlive, connection, "INSERT INTO strays VALUES (1)")
            await anyio.sleep(0.1)
        assert await database.fetch_value("SELECT count(*) FROM strays") == 0
        with anyio.fail_after(2):
            while len(outcomes) < 2:
                await anyio.sleep(0.01)
        assert outcomes == ["lost", "this block is over: ask the database, or open another"]
        assert await database.fetch_value("SELECT count(*) FROM strays") == 0


@pytest.mark.parametrize(("size", "prepared"), [(0, 0), (100, 1)])
async def test_behind_pgbouncer_no_statement_stays_prepared(postgres_url: str, size: int, prepared: int) -> None:
    async with postgres(postgres_url, statement_cache_size=size) as database, database.connection() as connection:
        await connection.fetch_value("SELECT $1 + 1", 1)
        count = "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1 + 1'"
        assert await connection.fetch_value(count) == prepared


async def test_a_block_that_holds_its_connection_for_too_long_is_reported_with_its_place(
    postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with postgres(postgres_url, report_held=0.05) as database:
        await database.fetch_value("SELECT 1")
        async with database.connection():
            await anyio.sleep(0.2)
    [message] = [message for message in caplog.messages if "has been held" in message]
    assert __file__ in message


async def test_a_driver_that_is_confused_has_sent_nothing_so_the_statement_is_sent_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """InternalClientError: the driver looks at its own state before it sends."""
    execute, failures = asyncpg.Connection.execute, 2

    async def confused(self: asyncpg.Connection, query: str, *args: object, timeout: float | None = None) -> str:
        nonlocal failures
        if query.startswith("INSERT") and failures:
            failures -= 1
            raise asyncpg.InternalClientError("cannot switch to state 12; another operation is in progress")
        return await execute(self, query, *args, timeout=timeout)

    async with postgres(postgres_url) as database:
        await database.execute("CREATE TABLE names (name TEXT)")
        monkeypatch.setattr(asyncpg.Connection, "execute", confused)
        await database.execute("INSERT INTO names VALUES ($1)", "a")
        assert failures == 0
        assert await database.fetch_value("SELECT count(*) FROM names") == 1
