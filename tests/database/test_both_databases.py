"""What holds on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, StrEnum
from uuid import UUID

import anyio
import pytest
from anyio.lowlevel import checkpoint

from heykit.database import Connection, Database, connect
from heykit.errors import DatabaseError, IntegrityError, TimedOut, Unavailable
from heykit.resilience import Budget, Retry, retry


@dataclass(frozen=True)
class Video:
    id: int
    title: str


@pytest.fixture
async def videos(database: Database) -> Database:
    await database.execute("CREATE TABLE videos (id INTEGER PRIMARY KEY, title TEXT NOT NULL)")
    return database


async def titles(connection: Connection) -> list[object]:
    return [row["title"] for row in await connection.fetch("SELECT title FROM videos ORDER BY id")]


async def add(connection: Connection, id: int, title: str = "") -> int:
    return await connection.execute("INSERT INTO videos (id, title) VALUES ($1, $2)", id, title or f"video {id}")


async def add_and_fail(connection: Connection, *ids: int) -> None:
    async with connection.transaction() as transaction:
        for id in ids:
            await add(transaction, id)
        raise ZeroDivisionError


def noting(log: list[object], what: object) -> Callable[[], Awaitable[object]]:
    async def note() -> None:
        log.append(what)

    return note


# Statements.


async def test_rows_come_back_by_column_name(videos: Database) -> None:
    """A row is read by its columns, and has no others."""
    await add(videos, 1, "Hello")
    (row,) = await videos.fetch("SELECT id, title FROM videos")
    assert (row["id"], row["title"]) == (1, "Hello")
    assert list(row.keys()) == ["id", "title"]
    with pytest.raises(KeyError):
        row["director"]


async def test_rows_come_back_as_dataclasses(videos: Database) -> None:
    """`into=` builds them by column name, in whatever order the columns come."""
    await add(videos, 1, "Hello")
    assert [Video(1, "Hello")] == await videos.fetch("SELECT title, id FROM videos", into=Video)
    assert Video(1, "Hello") == await videos.fetch_one("SELECT * FROM videos WHERE id = $1", 1, into=Video)
    assert None is await videos.fetch_one("SELECT * FROM videos WHERE id = $1", 2, into=Video)


async def test_one_value(videos: Database) -> None:
    """`fetch_value` gives the first column of the first row, or None."""
    await add(videos, 1)
    assert await videos.fetch_value("SELECT count(*) FROM videos") == 1
    assert None is await videos.fetch_value("SELECT id FROM videos WHERE id = $1", 9)
    row = await videos.fetch_one("SELECT id FROM videos")
    assert row is not None
    assert row["id"] == 1


async def test_placeholders_in_any_order_repeated_and_beyond_nine(videos: Database) -> None:
    """A placeholder means its number, not its place in the text."""
    row = await videos.fetch_one(
        "SELECT CAST($2 AS TEXT) AS b, CAST($1 AS TEXT) AS a, CAST($2 AS TEXT) AS c", "one", "two"
    )
    assert row is not None
    assert (row["a"], row["b"], row["c"]) == ("one", "two", "two")
    ten = ", ".join(f"CAST(${n} AS INTEGER) AS n{n}" for n in range(10, 0, -1))
    row = await videos.fetch_one(f"SELECT {ten}", *range(1, 11))
    assert row is not None
    assert [*range(1, 11)] == [row[f"n{n}"] for n in range(1, 11)]


async def test_a_dollar_in_a_string_is_no_placeholder(videos: Database) -> None:
    """Only what stands outside strings and comments counts."""
    assert await videos.fetch_value("SELECT 'costs $1' /* not $2 */ -- nor $3") == "costs $1"


@pytest.mark.parametrize("args", [(), (1,), (1, "a", 2)])
async def test_the_wrong_number_of_arguments(videos: Database, args: tuple[object, ...]) -> None:
    """Too few and too many are refused before anything happens."""
    with pytest.raises(DatabaseError, match="argument"):
        await videos.execute("INSERT INTO videos (id, title) VALUES ($1, $2)", *args)
    assert await titles(videos) == []


async def test_execute_gives_the_number_of_rows_changed(videos: Database) -> None:
    """Also for RETURNING and WITH; other statements change none."""
    assert await add(videos, 1) == 1
    assert await videos.execute("INSERT INTO videos (id, title) VALUES (2, 'b'), (3, 'c') RETURNING id") == 2
    assert await videos.execute("UPDATE videos SET title = $1", "same") == 3
    assert await videos.execute("WITH old AS (SELECT 3 AS id) DELETE FROM videos WHERE id IN (SELECT id FROM old)") == 1
    assert await videos.execute("DELETE FROM videos WHERE id = $1", 99) == 0
    assert await videos.execute("SELECT * FROM videos") == 0
    assert await videos.execute("CREATE TABLE other (id INTEGER)") == 0


async def test_returning_gives_the_row_and_keeps_all(videos: Database) -> None:
    """`fetch_one` on a change that returns several rows makes the whole change."""
    first = await videos.fetch_one(
        "INSERT INTO videos VALUES (1, 'a'), (2, 'b'), (3, 'c') RETURNING id, title", into=Video
    )
    assert Video(1, "a") == first
    assert await titles(videos) == ["a", "b", "c"]


async def test_several_statements_run_all_or_none(videos: Database) -> None:
    """A script without arguments is atomic; semicolons in strings do not end a statement."""
    await videos.execute(
        "INSERT INTO videos VALUES (1, 'a;b'); -- a comment; still\nINSERT INTO videos VALUES (2, 'c');"
    )
    with pytest.raises(IntegrityError):
        await videos.execute("INSERT INTO videos VALUES (3, 'd'); INSERT INTO videos VALUES (1, 'again')")
    assert await titles(videos) == ["a;b", "c"]


async def test_execute_many_runs_all_or_none(videos: Database) -> None:
    """The last row's failure undoes the first; an iterator serves as well as a list."""
    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", ((n, str(n)) for n in range(3)))
    with pytest.raises(IntegrityError):
        await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [(7, "x"), (1, "again")])
    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [])
    assert await titles(videos) == ["0", "1", "2"]


async def test_execute_many_inside_a_transaction(videos: Database) -> None:
    """It belongs to the transaction."""

    async def add_and_fail() -> None:
        async with videos.transaction() as transaction:
            await transaction.execute_many("INSERT INTO videos VALUES ($1, $2)", [(1, "a"), (2, "b")])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await add_and_fail()
    assert await titles(videos) == []


# Errors.


async def test_a_constraint_raises_integrity_error(videos: Database) -> None:
    """The message names the constraint or column, never the value."""
    await add(videos, 1, "a secret title")
    for statement in ("INSERT INTO videos VALUES (1, 'a secret title')", "INSERT INTO videos (id) VALUES (2)"):
        with pytest.raises(IntegrityError) as caught:
            await videos.execute(statement)
        assert "videos" in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("sql", ["SELEC 1", "SELECT * FROM nowhere", "INSERT INTO videos (director) VALUES ('x')"])
async def test_a_statement_that_is_wrong(videos: Database, sql: str) -> None:
    """It raises DatabaseError, and the database goes on."""
    with pytest.raises(DatabaseError):
        await videos.execute(sql)
    assert await titles(videos) == []


async def test_an_argument_of_no_type_a_database_knows(videos: Database) -> None:
    """The error says which, and does not show the value."""
    with pytest.raises(DatabaseError) as caught:
        await videos.fetch("SELECT * FROM videos WHERE title = $1", object)
    assert "class" not in str(caught.value)


@pytest.mark.parametrize("sql", ["BEGIN", "SAVEPOINT a", "BEGIN; INSERT INTO videos VALUES (1, 'a')"])
async def test_a_transaction_by_hand_is_refused(videos: Database, sql: str) -> None:
    """It would outlive the statement on a connection that is shared."""
    with pytest.raises(DatabaseError):
        await videos.execute(sql)
    await add(videos, 2)
    assert await titles(videos) == ["video 2"]


# Values.


class Status(StrEnum):
    DONE = "done"


class Level(Enum):
    HIGH = 3


@dataclass(frozen=True)
class Everything:
    truth: bool
    whole: int
    real: float
    words: str
    raw: bytes
    instant: datetime
    day: date
    key: UUID
    status: Status
    level: Level
    missing: str | None
    unset: str = "default"


EVERYTHING = Everything(
    truth=True,
    whole=2**62,
    real=0.1,
    words="Grüße, 世界",
    raw=b"\x00\xff",
    instant=datetime(2026, 11, 24, 10, 20, 30, 123456, tzinfo=UTC),
    day=date(2026, 11, 24),
    key=UUID(int=2**100 + 1),
    status=Status.DONE,
    level=Level.HIGH,
    missing=None,
)
EVERYTHING_TABLE = """
CREATE TABLE everything (
    truth BOOLEAN, whole BIGINT, "real" DOUBLE PRECISION, words TEXT, raw BYTEA, instant TIMESTAMPTZ, day DATE,
    key UUID, status TEXT, level INTEGER, missing TEXT
)
"""


async def keep(database: Database, row: Everything) -> Everything | None:
    await database.execute("DELETE FROM everything")
    names = [name for name in vars(row) if name != "unset"]
    places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
    await database.execute(f"INSERT INTO everything VALUES ({places})", *(getattr(row, name) for name in names))
    return await database.fetch_one("SELECT * FROM everything", into=Everything)


async def test_one_dataclass_reads_from_both(database: Database) -> None:
    """Every documented kind of value goes in and comes back equal."""
    await database.execute(EVERYTHING_TABLE)
    found = await keep(database, EVERYTHING)
    assert found == EVERYTHING
    assert list(map(type, vars(EVERYTHING).values()))[:4] == list(map(type, vars(found).values()))[:4]


async def test_an_instant_comes_back_in_utc_and_sorts(database: Database) -> None:
    """Whatever zone it was given in."""

    @dataclass
    class Moment:
        at: datetime

    await database.execute("CREATE TABLE moments (at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP)")
    noon = datetime(2026, 11, 24, 12, tzinfo=timezone(timedelta(hours=2)))
    for at in (noon + timedelta(microseconds=1), noon, noon - timedelta(hours=1)):
        await database.execute("INSERT INTO moments (at) VALUES ($1)", at)
    found = await database.fetch("SELECT at FROM moments WHERE at >= $1 ORDER BY at", noon, into=Moment)
    assert [noon, noon + timedelta(microseconds=1)] == [moment.at for moment in found]
    assert {UTC} == {moment.at.tzinfo for moment in found}
    await database.execute("INSERT INTO moments DEFAULT VALUES")
    (newest,) = await database.fetch("SELECT at FROM moments ORDER BY at DESC LIMIT 1", into=Moment)
    assert timedelta() <= datetime.now(UTC) - newest.at + timedelta(seconds=1) < timedelta(minutes=1)


async def test_a_datetime_without_a_zone_is_refused(database: Database) -> None:
    """It is ambiguous, and each database would guess differently."""
    await database.execute("CREATE TABLE moments (at TIMESTAMPTZ)")
    with pytest.raises(DatabaseError, match="time zone"):
        await database.execute("INSERT INTO moments VALUES ($1)", datetime(2026, 11, 24))  # noqa: DTZ001 - the point


async def test_sums_and_averages_are_numbers_on_both(videos: Database) -> None:
    """PostgreSQL gives Decimal where SQLite gives int and float."""

    @dataclass
    class Totals:
        total: int
        mean: float
        many: bool

    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [(1, "a"), (2, "b")])
    wanted = "SELECT sum(CAST(id AS BIGINT)) AS total, avg(id) AS mean, count(*) > 1 AS many FROM videos"
    assert Totals(3, 1.5, many=True) == await videos.fetch_one(wanted, into=Totals)


async def test_null_where_the_field_has_none_is_an_error(videos: Database) -> None:
    """A typed row is what its type says; the message names the column."""
    with pytest.raises(DatabaseError, match=r"'title' holds NULL: Video.title is declared str"):
        await videos.fetch("SELECT 1 AS id, CAST(NULL AS TEXT) AS title", into=Video)


async def test_a_column_that_is_missing(videos: Database) -> None:
    """A field without a default needs its column."""
    await add(videos, 1)
    with pytest.raises(DatabaseError, match="Video needs the column title"):
        await videos.fetch("SELECT id FROM videos", into=Video)


async def test_a_column_too_many_is_ignored(videos: Database) -> None:
    """So that code which runs while a column is added goes on."""
    await add(videos, 1, "a")
    assert [Video(1, "a")] == await videos.fetch("SELECT id, title, 'new' AS added FROM videos", into=Video)


async def test_into_takes_dataclasses_only(videos: Database) -> None:
    """Anything else is a mistake in the code."""
    await add(videos, 1)
    with pytest.raises(TypeError, match="dataclass"):
        await videos.fetch("SELECT id FROM videos", into=int)


async def test_decimals_are_exact_or_refused(database: Database, database_url: str) -> None:
    """PostgreSQL keeps them; SQLite would round them, so it says so."""
    await database.execute("CREATE TABLE prices (price NUMERIC)")
    if database_url.startswith("sqlite"):
        with pytest.raises(DatabaseError, match="cents"):
            await database.execute("INSERT INTO prices VALUES ($1)", Decimal("0.10"))
    else:
        await database.execute("INSERT INTO prices VALUES ($1)", Decimal("0.10"))
        assert Decimal("0.10") == await database.fetch_value("SELECT price FROM prices")


# Transactions.


async def test_a_transaction_commits_at_its_end(videos: Database) -> None:
    """Inside it sees its own changes."""
    async with videos.transaction() as transaction:
        await add(transaction, 1)
        assert await titles(transaction) == ["video 1"]
    assert await titles(videos) == ["video 1"]


async def test_an_exception_rolls_back(videos: Database) -> None:
    """And leaves as it is."""
    with pytest.raises(ZeroDivisionError):
        await add_and_fail(videos, 1)
    assert await titles(videos) == []


async def test_a_nested_transaction_fails_alone(videos: Database) -> None:
    """Also when its statement was refused; what is around it goes on."""
    async with videos.transaction() as outer:
        await add(outer, 1)
        with pytest.raises(IntegrityError):
            await add_and_fail(outer, 2, 1)
        async with outer.transaction() as inner:
            await add(inner, 3)
        await add(outer, 4)
    assert await titles(videos) == ["video 1", "video 3", "video 4"]


async def test_a_transaction_that_is_over_is_over(videos: Database) -> None:
    """Statements and calls after its end are refused, not run outside it."""
    async with videos.transaction() as transaction:
        async with transaction.transaction() as inner:
            pass
        with pytest.raises(DatabaseError, match="over"):
            await add(inner, 1)
    with pytest.raises(DatabaseError, match="over"):
        await add(transaction, 2)
    with pytest.raises(DatabaseError, match="over"):
        transaction.after_commit(noting([], "late"))
    with pytest.raises(DatabaseError, match="over"):
        await add_and_fail(transaction, 2)
    assert await titles(videos) == []


async def test_calls_after_commit_run_once_and_in_order(videos: Database) -> None:
    """After the outermost commit, on a database that is free again."""
    log: list[object] = []

    async def see() -> None:
        log.append(await titles(videos))

    async with videos.transaction() as transaction:
        await add(transaction, 1)
        transaction.after_commit(see)
        async with transaction.transaction() as inner:
            inner.after_commit(noting(log, "inner"))
        transaction.after_commit(noting(log, "outer"))
        assert log == []
    assert log == [["video 1"], "inner", "outer"]


async def test_no_call_after_a_rollback(videos: Database) -> None:
    """Neither the outer's nor, if only that rolls back, the inner's."""
    log: list[object] = []

    async def fail(connection: Connection) -> None:
        async with connection.transaction() as transaction:
            transaction.after_commit(noting(log, "never"))
            raise ZeroDivisionError

    async with videos.transaction() as transaction:
        transaction.after_commit(noting(log, "outer"))
        with pytest.raises(ZeroDivisionError):
            await fail(transaction)
    assert log == ["outer"]
    with pytest.raises(ZeroDivisionError):
        await fail(videos)
    assert log == ["outer"]


async def test_a_failing_call_is_counted_and_the_commit_stands(
    videos: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, the next one runs, and the caller hears nothing."""
    log: list[object] = []

    async def fail() -> None:
        raise ZeroDivisionError

    async with videos.transaction() as transaction:
        await add(transaction, 1)
        transaction.after_commit(fail)
        transaction.after_commit(noting(log, "next"))
    assert log == ["next"]
    assert await titles(videos) == ["video 1"]
    assert videos.stats()["after_commit_errors"] == 1
    assert "the commit stands" in caplog.text


@pytest.mark.parametrize("how", ["anyio", "asyncio"])
async def test_a_cancellation_that_comes_during_the_calls_waits(videos: Database, how: str) -> None:
    """Commit and calls are one step: whoever committed also announces it, and is cancelled afterwards."""
    log: list[object] = []
    calling = anyio.Event()

    async def slow() -> None:
        calling.set()
        await anyio.sleep(0.05)
        log.append("announced")

    async def work() -> None:
        async with videos.transaction() as transaction:
            await add(transaction, 1)
            transaction.after_commit(slow)
        await checkpoint()
        log.append("not cancelled")

    if how == "asyncio":
        task = asyncio.create_task(work())
        await calling.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            await calling.wait()
            group.cancel_scope.cancel()
    assert log == ["announced"]
    assert await titles(videos) == ["video 1"]


async def test_a_cancelled_transaction_rolls_back(videos: Database) -> None:
    """And frees the connection for the next."""
    begun = anyio.Event()

    async def work() -> None:
        async with videos.transaction() as transaction:
            await add(transaction, 1)
            begun.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as group:
        group.start_soon(work)
        await begun.wait()
        group.cancel_scope.cancel()
    await add(videos, 1, "second")
    assert await titles(videos) == ["second"]


async def test_statements_of_a_transaction_from_several_tasks(videos: Database) -> None:
    """They take turns."""
    async with videos.transaction() as transaction, anyio.create_task_group() as group:
        for id in range(10):
            group.start_soon(add, transaction, id)
    assert await videos.fetch_value("SELECT count(*) FROM videos") == 10


async def test_many_transactions_at_once_lose_nothing(videos: Database) -> None:
    """Twenty tasks count to the same total as one."""
    await add(videos, 1, "0")

    async def count_up() -> None:
        for _ in range(5):
            async with videos.transaction() as transaction:
                await transaction.execute(
                    "UPDATE videos SET title = CAST(CAST(title AS INTEGER) + 1 AS TEXT) WHERE id = 1"
                )

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(count_up)
    assert await titles(videos) == ["100"]
    assert videos.stats()["in_use"] == 0


# Connections and streams.


async def test_a_connection_is_kept_for_a_block(videos: Database) -> None:
    """What belongs to a session, such as a temporary table, lives as long."""
    async with videos.connection() as connection:
        await connection.execute("CREATE TEMPORARY TABLE seen (id INTEGER)")
        await connection.execute("INSERT INTO seen VALUES (1)")
        async with connection.transaction() as transaction:
            await add(transaction, 1)
            assert await connection.fetch_value("SELECT id FROM seen") == 1
        with pytest.raises(ZeroDivisionError):
            await add_and_fail(connection, 2)
        assert await titles(connection) == ["video 1"]
    with pytest.raises(DatabaseError, match="over"):
        await titles(connection)


async def test_a_stream_gives_every_row(videos: Database) -> None:
    """More than fit in one batch, one after the other, in order."""
    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [(n, "x") for n in range(1000)])
    async with videos.stream("SELECT * FROM videos WHERE id >= $1 ORDER BY id", 5, into=Video) as stream:
        assert [*range(5, 1000)] == [video.id async for video in stream]
    async with videos.stream("SELECT id FROM videos WHERE id < 0") as rows:
        assert [row async for row in rows] == []


async def test_a_stream_may_be_left_early(videos: Database) -> None:
    """And the database goes on, also after an exception."""
    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [(n, "x") for n in range(1000)])

    async def read_one_and_fail() -> None:
        async with videos.stream("SELECT id FROM videos ORDER BY id") as stream:
            assert (await anext(stream))["id"] == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await read_one_and_fail()
    async with videos.stream("SELECT id FROM videos") as stream:
        await anext(stream)
    await add(videos, 1000)
    assert videos.stats()["in_use"] == 0


async def test_others_work_while_a_stream_is_read(videos: Database) -> None:
    """A slow reader holds nobody up, and sees the moment it began."""
    await videos.execute_many("INSERT INTO videos VALUES ($1, $2)", [(n, "x") for n in range(600)])
    async with videos.stream("SELECT id FROM videos ORDER BY id") as stream:
        await anext(stream)
        await videos.execute("DELETE FROM videos")
        assert len([row async for row in stream]) == 599


async def test_a_stream_in_a_transaction_sees_its_changes(videos: Database) -> None:
    """Also on a connection that is kept."""
    async with videos.transaction() as transaction:
        await add(transaction, 1)
        async with transaction.stream("SELECT id FROM videos") as stream:
            assert [row["id"] async for row in stream] == [1]
        await add(transaction, 2)
    async with videos.connection() as connection, connection.stream("SELECT id FROM videos ORDER BY id") as stream:
        assert [row["id"] async for row in stream] == [1, 2]


async def test_a_wrong_statement_in_a_stream(videos: Database) -> None:
    """It raises as it would elsewhere."""

    async def read_one(sql: str) -> None:
        async with videos.stream(sql) as stream:
            await anext(stream)

    for wrong in ("SELECT * FROM nowhere", "INSERT INTO videos VALUES (1, 'a') RETURNING id"):
        with pytest.raises(DatabaseError):
            await read_one(wrong)
    assert await titles(videos) == []


# Time limits, health, closing.


def endless(database_url: str) -> str:
    if database_url.startswith("sqlite"):
        return "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    return "SELECT pg_sleep(3600)"


async def test_a_statement_that_takes_too_long(database_url: str) -> None:
    """It raises TimedOut, and the next statement is not touched by it."""
    async with connect(database_url, command_timeout=0.2, max_connections=1) as database:
        for _ in range(3):
            with pytest.raises(TimedOut):
                await database.fetch(endless(database_url))
            assert await database.fetch_value("SELECT 1") == 1
        async with database.transaction() as transaction:
            assert await transaction.fetch_value("SELECT 1") == 1


async def test_a_cancelled_statement(database_url: str) -> None:
    """The caller is cancelled at once, and the connection serves the next."""
    async with connect(database_url, max_connections=1) as database:
        with anyio.move_on_after(0.1) as scope:
            await database.fetch(endless(database_url))
        assert scope.cancelled_caught
        assert await database.fetch_value("SELECT 1") == 1
        assert database.stats()["timed_out"] == 0


async def test_who_waits_too_long_for_a_connection(database_url: str) -> None:
    """It raises Unavailable; the others are not harmed."""
    async with connect(database_url, command_timeout=0.2, connection_timeout=0.2, max_connections=1) as database:
        await database.execute("CREATE TABLE videos (id INTEGER PRIMARY KEY, title TEXT NOT NULL)")
        async with database.transaction() as transaction:
            await add(transaction, 1)

            async def wait_in_vain() -> None:
                with pytest.raises(Unavailable) as caught:
                    await database.fetch_value("SELECT 1")
                assert not isinstance(caught.value, TimedOut)

            async with anyio.create_task_group() as group:
                group.start_soon(wait_in_vain)
                group.start_soon(wait_in_vain)
        assert await titles(database) == ["video 1"]
        assert database.stats()["timed_out"] == 2


async def test_who_came_first_goes_first(database_url: str) -> None:
    """Waiting for a connection is fair."""
    order: list[int] = []
    async with connect(database_url, max_connections=1) as database:

        async def take(number: int) -> None:
            async with database.transaction() as transaction:
                await transaction.fetch_value("SELECT 1")
                order.append(number)

        async with anyio.create_task_group() as group, database.transaction():
            for number in range(10):
                group.start_soon(take, number)
                await checkpoint()
    assert [*range(10)] == order


async def test_of_serializable_transactions_that_meet_each_counts_and_who_loses_runs_again(database: Database) -> None:
    """Each reads what the others are about to change: under less isolation two of them would add to the same number."""
    await database.execute("CREATE TABLE counters (number INTEGER NOT NULL)")
    await database.execute("INSERT INTO counters VALUES (0)")
    began = 0

    @retry(Retry(attempts=50, deadline=20, wait=0.01, on=(Unavailable,)), budget=Budget(share=50))
    async def add() -> None:
        nonlocal began
        began += 1
        async with database.transaction(isolation="serializable") as transaction:
            number = await transaction.fetch_value("SELECT number FROM counters")
            assert isinstance(number, int)
            await transaction.execute("UPDATE counters SET number = $1", number + 1)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(add)
    assert await database.fetch_value("SELECT number FROM counters") == 20
    assert began >= 20


async def test_isolation_is_one_of_three_and_the_outermosts_affair(database: Database) -> None:
    with pytest.raises(DatabaseError, match="there is no isolation 'snapshot': take one of read committed, "):
        async with database.transaction(isolation="snapshot"):  # type: ignore[arg-type]
            pass
    async with database.transaction(isolation="repeatable read") as transaction:
        with pytest.raises(DatabaseError, match="give it to the outermost"):
            async with transaction.transaction(isolation="serializable"):
                pass
        assert await transaction.fetch_value("SELECT 1") == 1


async def test_health(videos: Database) -> None:
    """An open database passes, with the figures of its pool."""
    health = await videos.health()
    assert (health.status, health.kind) == ("pass", "resource")
    assert {*health.figures} == {
        "max_connections", "in_use", "idle", "utilization", "waiting", "acquired", "timed_out", "reconnects",
        "wait_seconds", "after_commit_errors",
    }  # fmt: skip


async def test_who_waits_for_the_database_is_counted(database_url: str) -> None:
    options = {"max_connections": 1} if database_url.startswith("postgresql") else {}
    async with connect(database_url, **options) as database:
        before = database.stats()["wait_seconds"]
        async with anyio.create_task_group() as tasks, database.transaction():
            tasks.start_soon(database.fetch_value, "SELECT 1")
            await anyio.sleep(0.05)
            assert database.stats()["utilization"] == 1
        assert 0.04 < database.stats()["wait_seconds"] - before < 5
        assert database.stats()["utilization"] == 0


async def test_a_closed_database_says_so(database_url: str) -> None:
    """Its statements are refused and its health fails."""
    async with connect(database_url) as database:
        pass
    with pytest.raises(DatabaseError, match="closed"):
        await database.fetch_value("SELECT 1")
    assert (await database.health()).status == "fail"


async def test_closing_while_a_statement_runs(database_url: str) -> None:
    """The statement fails, and closing waits for nobody."""
    outcomes: list[object] = []

    async def ask_or_lose(database: Database) -> None:
        try:
            await database.fetch(endless(database_url))
        except (DatabaseError, Unavailable) as error:
            outcomes.append(error)

    async with anyio.create_task_group() as group, connect(database_url) as database:
        group.start_soon(ask_or_lose, database)
        await anyio.sleep(0.1)
    assert len(outcomes) == 1


@pytest.fixture(autouse=True)
def no_stray_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The event loop was told of no error that nobody handled."""
    yield
    assert [
        record for record in caplog.get_records("call") if record.name == "asyncio" and record.levelname == "ERROR"
    ] == []
