"""Writes that are committed together: each as if it were alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.database import Database, sqlite
from heykit.database._sqlite_group import committed_together, is_change
from heykit.errors import DatabaseError, IntegrityError, TimedOut

ROOT = Path(__file__).parent.parent.parent


@asynccontextmanager
async def numbers(path: str = ":memory:", **options: float) -> AsyncGenerator[Database]:
    async with sqlite(path, **options) as database:
        await database.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY, twice INTEGER UNIQUE)")
        yield database


async def insert(database: Database, number: int) -> int | str:
    """Say what came of it."""
    try:
        return await database.execute("INSERT INTO numbers VALUES ($1, $2)", number, 2 * number)
    except DatabaseError as error:
        return type(error).__name__


async def all_numbers(database: Database) -> list[object]:
    return [row["number"] for row in await database.fetch("SELECT number FROM numbers ORDER BY number")]


async def test_one_that_is_refused_takes_none_of_the_others_with_it() -> None:
    async with numbers() as database:
        found = await asyncio.gather(*(insert(database, number // 2) for number in range(100)))
        assert found == [1, "IntegrityError"] * 50
        assert await all_numbers(database) == [*range(50)]


async def test_they_share_one_commit(tmp_path: Path) -> None:
    """The thread is busy with the first while the others come."""
    async with numbers(str(tmp_path / "numbers.db")) as database:
        other = sqlite3.connect(tmp_path / "numbers.db")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        await asyncio.gather(*(insert(database, number) for number in range(200)))
        other.close()
        wal = (tmp_path / "numbers.db-wal").stat().st_size
        assert await all_numbers(database) == [*range(200)]
    # Each commit writes whole pages of 4 KiB and a header; alone the 200 would have written two pages each or more.
    assert wal < 100 * 4096


async def test_what_ends_the_whole_transaction_ends_only_its_own() -> None:
    async with numbers() as database:
        await database.execute("INSERT INTO numbers VALUES (1, 2)")

        async def rolls_back() -> str:
            with pytest.raises(IntegrityError):
                await database.execute("INSERT OR ROLLBACK INTO numbers VALUES (1, 0)")
            return "refused"

        work = [insert(database, number) if number % 10 else rolls_back() for number in range(10, 60)]
        found = await asyncio.gather(*work)
        assert found == [1 if number % 10 else "refused" for number in range(10, 60)]
        assert len(await all_numbers(database)) == 46


async def test_returning_answers_after_the_commit_and_reads_keep_their_place() -> None:
    async with numbers() as database:

        async def insert_and_read(number: int) -> tuple[object, object]:
            inserted = database.fetch_value("INSERT INTO numbers VALUES ($1, $2) RETURNING twice", number, 2 * number)
            count = database.fetch_value("SELECT count(*) FROM numbers WHERE number <= $1", number)
            both = await asyncio.gather(inserted, count)
            return both[0], both[1]

        found = await asyncio.gather(*(insert_and_read(number) for number in range(50)))
        assert [twice for twice, _ in found] == [2 * number for number in range(50)]
        assert [count for _, count in found] == [number + 1 for number in range(50)]


async def test_one_that_takes_too_long_is_interrupted_and_the_others_stand() -> None:
    endless = (
        "INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n LIMIT 1000000000) "
        "SELECT i, -i FROM n WHERE i < 0"
    )
    async with numbers(command_timeout=0.5) as database:

        async def slow() -> str:
            with pytest.raises(TimedOut):
                await database.execute(endless)
            return "too slow"

        results: list[object] = [*await asyncio.gather(insert(database, 1), insert(database, 2), slow())]
        assert results == [1, 1, "too slow"]
        assert await insert(database, 3) == 1
        assert await all_numbers(database) == [1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40))
async def test_whoever_is_refused_or_cancelled_the_rest_is_as_if_done_one_by_one(steps: list[tuple[int, bool]]) -> None:
    """A cancelled one stands or not; of the others each says the truth."""
    async with numbers() as database:
        outcomes: list[tuple[int, int | str]] = []
        maybe: set[int] = set()

        async def ask(number: int, cancelled: bool) -> None:
            with anyio.CancelScope() as scope:
                if cancelled:
                    maybe.add(number)
                    asyncio.get_running_loop().call_soon(scope.cancel)
                outcomes.append((number, await insert(database, number)))

        async with anyio.create_task_group() as tasks:
            for number, cancelled in steps:
                tasks.start_soon(ask, number, cancelled)
        stored = {*await all_numbers(database)}
        inserted = [number for number, outcome in outcomes if outcome == 1]
        assert len(inserted) == len({*inserted})
        assert {*inserted} <= stored <= {*inserted} | maybe
        assert all(number in stored for number, outcome in outcomes if outcome == "IntegrityError")


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", " update t SET a = 1", "DELETE FROM t", "REPLACE INTO t"])
def test_changes_of_rows_may_share_a_transaction(sql: str) -> None:
    assert is_change(sql)


@pytest.mark.parametrize("sql", ["SELECT 1", "PRAGMA user_version = 1", "VACUUM", "CREATE TABLE t (a)", "BEGIN", ""])
def test_nothing_else_does(sql: str) -> None:
    assert not is_change(sql)


def test_nothing_stands_where_the_commit_is_refused() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (a)")
    asked: list[int] = []

    def usable() -> None:
        asked.append(1)
        if len(asked) > 1:
            raise OSError("the file is gone")

    writes = [lambda: connection.execute("INSERT INTO t VALUES (1)").rowcount] * 3
    assert committed_together(connection, writes, usable, clock=lambda: 0.0) is None
    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (0,)
    connection.close()


def test_a_roll_back_that_is_interrupted_is_done_again() -> None:
    class Interrupted(sqlite3.Connection):
        times = 3

        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            if sql == "ROLLBACK" and self.times:
                self.times -= 1
                raise sqlite3.OperationalError("interrupted")
            return super().execute(sql, *args)

    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Interrupted)

    def fails() -> None:
        raise sqlite3.DatabaseError

    def ends_it() -> None:
        sqlite3.Connection.execute(connection, "ROLLBACK")
        connection.execute("BEGIN")
        fails()

    assert committed_together(connection, [ends_it], lambda: None, clock=lambda: 0.0) is None
    assert not connection.in_transaction
    connection.close()


async def test_what_keeps_a_part_of_what_it_changed_is_done_alone() -> None:
    async with numbers() as database:
        await insert(database, 5)

        async def or_fail() -> str:
            with pytest.raises(IntegrityError):
                await database.execute("INSERT OR FAIL INTO numbers VALUES (3, 6), (4, 8), (5, 10), (6, 12)")
            return "failed"

        await asyncio.gather(insert(database, 1), insert(database, 2), or_fail(), insert(database, 7))
        assert await all_numbers(database) == [1, 2, 3, 4, 5, 7]


WRITER = """
import asyncio, sys
from heykit.database import sqlite

async def main():
    async with sqlite(sys.argv[1]) as database:
        await database.execute("CREATE TABLE written (number INTEGER PRIMARY KEY)")
        async def write(start):
            for number in range(start, 10_000_000, 50):
                await database.execute("INSERT INTO written VALUES ($1)", number)
                print(number, flush=True)
        await asyncio.gather(*map(write, range(50)))

asyncio.run(main())
"""


def test_every_write_that_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "written.db"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        acknowledged = {int(writer.stdout.readline()) for _ in range(3000)}
        os.kill(writer.pid, signal.SIGKILL)
        acknowledged |= {int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")}

    async def stored() -> set[object]:
        async with sqlite(path) as database:
            return {row["number"] for row in await database.fetch("SELECT number FROM written")}

    assert acknowledged <= anyio.run(stored)
