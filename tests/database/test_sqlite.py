"""What is SQLite's own: one thread, interrupts, other processes at the same file."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from heykit.database import Database, sqlite
from heykit.errors import DatabaseError, TimedOut, Unavailable

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
ENDLESS_CHANGE = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) INSERT INTO a SELECT x FROM n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "test.db"


@pytest.fixture
async def database(path: Path) -> AsyncGenerator[Database]:
    async with sqlite(path, command_timeout=5) as opened:
        await opened.execute("CREATE TABLE a (b INTEGER PRIMARY KEY)")
        yield opened


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "heykit-sqlite"]


async def test_a_durable_database(database: Database) -> None:
    """WAL, a commit that survives a power cut, and foreign keys that hold."""
    settings = [
        await database.fetch_value(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")
    ]
    assert settings == ["wal", 2, 1]


async def test_one_thread_while_it_is_open_and_none_after(path: Path) -> None:
    """Also when the block fails."""

    async def ask_and_fail() -> None:
        async with sqlite(path) as database:
            await database.fetch_value("SELECT 1")
            assert threads() == ["heykit-sqlite"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ask_and_fail()
    assert threads() == []


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancelled_opening_leaves_no_thread(path: Path, turns: int) -> None:
    """Wherever the cancellation meets it."""

    async def open_it() -> None:
        async with sqlite(path):
            await anyio.sleep_forever()

    task = asyncio.create_task(open_it())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads() == []


async def test_an_opening_cancelled_while_another_process_holds_the_file(path: Path) -> None:
    """The thread gives up waiting with its caller."""
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with anyio.move_on_after(0.05):
            async with sqlite(path):
                pytest.fail("it is locked")
        assert threads() == []
        with pytest.raises(Unavailable, match="locked by another process"):
            async with sqlite(path, command_timeout=0.1):
                pass
        other.rollback()
    other.close()


async def test_an_interrupted_change_has_no_effect_and_ends_its_transaction(database: Database) -> None:
    """SQLite rolls the whole transaction back; what follows is refused instead of running outside it."""

    async def change() -> None:
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO a VALUES (0)")
            with anyio.move_on_after(0.1):
                await transaction.execute(ENDLESS_CHANGE)
            await transaction.execute("INSERT INTO a VALUES (-1)")

    with pytest.raises(DatabaseError, match="run it again"):
        await change()
    assert await database.fetch_value("SELECT count(*) FROM a") == 0


async def test_an_interrupt_beside_a_stream_that_is_half_read(database: Database) -> None:
    """The stream on the same connection is over, and nothing after it is interrupted."""
    await database.execute_many("INSERT INTO a VALUES ($1)", [(n,) for n in range(1000)])
    async with database.connection() as connection:
        async with connection.stream("SELECT b FROM a") as stream:
            await anext(stream)
            with anyio.move_on_after(0.1):
                await connection.fetch(ENDLESS)
            assert await connection.fetch_value("SELECT count(*) FROM a") == 1000
            with pytest.raises(DatabaseError):
                assert [row async for row in stream] == []
        assert await connection.fetch_value("SELECT count(*) FROM a") == 1000


async def test_a_cancelled_statement_that_waits_never_runs(database: Database) -> None:
    """Neither one that waits for a transaction to end, nor one behind a long statement."""

    async def insert(value: int) -> None:
        await database.execute("INSERT INTO a VALUES ($1)", value)

    async with anyio.create_task_group() as group, database.transaction():
        group.start_soon(insert, 1)
        await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    long = asyncio.create_task(database.fetch(ENDLESS))
    await asyncio.sleep(0.05)
    behind = asyncio.create_task(insert(2))
    await asyncio.sleep(0.01)
    behind.cancel()
    long.cancel()
    await asyncio.wait([long, behind])
    assert await database.fetch_value("SELECT count(*) FROM a") == 0


async def test_cancellations_never_meet_the_wrong_statement(database: Database) -> None:
    """A hundred short statements, every other one cancelled at a random moment of its life: the others all succeed."""

    async def insert(value: int) -> None:
        await database.execute("INSERT INTO a VALUES ($1)", value)

    for start in range(0, 200, 10):
        tasks = [asyncio.create_task(insert(start + n)) for n in range(10)]
        for turn, task in enumerate(tasks[::2]):
            for _ in range(turn):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait(tasks)
        for task in tasks[1::2]:
            task.result()
    found = {row["b"] for row in await database.fetch("SELECT b FROM a")}
    assert set(range(1, 200, 2)) <= found


async def test_asking_the_database_inside_its_own_transaction(database: Database) -> None:
    """It would wait for itself; so it says at once what to do."""
    async with database.transaction() as transaction:
        with pytest.raises(DatabaseError, match="ask its transaction"):
            await database.fetch_value("SELECT 1")
        assert await transaction.fetch_value("SELECT 1") == 1


async def test_health_while_a_transaction_is_open(database: Database) -> None:
    """It does not wait its turn."""
    async with database.transaction():
        assert (await database.health()).status == "pass"


async def test_a_change_waits_for_another_process(path: Path, database: Database) -> None:
    """Readers go on meanwhile only in turn; the change is made once the other has ended."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as group:
        group.start_soon(database.execute, "INSERT INTO a VALUES (1)")
        await anyio.sleep(0.15)
        other.execute("COMMIT")
    other.close()
    assert await database.fetch_value("SELECT b FROM a") == 1


async def test_another_process_that_never_ends_its_change(path: Path, database: Database) -> None:
    """The change is refused as Unavailable, since it certainly had no effect; then all goes on."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    async with sqlite(path, command_timeout=0.2) as hurried:
        for attempt in (hurried.execute("INSERT INTO a VALUES (1)"), begin(hurried)):
            with pytest.raises(Unavailable, match="another process") as caught:
                await attempt
            assert not isinstance(caught.value, TimedOut)
        assert await hurried.fetch_value("SELECT count(*) FROM a") == 0
        other.execute("ROLLBACK")
        other.close()
        assert await hurried.execute("INSERT INTO a VALUES (1)") == 1
        assert hurried.stats()["in_use"] == 0


async def begin(database: Database) -> None:
    async with database.transaction():
        pass


async def test_two_processes_lose_no_change(path: Path, database: Database) -> None:
    """Each inserts its own rows, at the same time."""
    code = (
        "import asyncio, sys\n"
        "from heykit.database import sqlite\n"
        "async def main():\n"
        "    async with sqlite(sys.argv[1]) as database:\n"
        "        for n in range(100, 200):\n"
        "            await database.execute('INSERT INTO a VALUES ($1)', n)\n"
        "asyncio.run(main())\n"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(path), cwd=Path(__file__).parents[2])
    for n in range(100):
        await database.execute("INSERT INTO a VALUES ($1)", n)
    assert await other.wait() == 0
    assert await database.fetch_value("SELECT count(*) FROM a") == 200


async def test_what_a_killed_process_committed_stands(path: Path, database: Database) -> None:
    """And what it had not committed does not."""
    code = (
        "import asyncio, os, signal, sys\n"
        "from heykit.database import sqlite\n"
        "async def main():\n"
        "    async with sqlite(sys.argv[1]) as database:\n"
        "        await database.execute('INSERT INTO a VALUES (1)')\n"
        "        async with database.transaction() as transaction:\n"
        "            await transaction.execute('INSERT INTO a VALUES (2)')\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    killed = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(path)],
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert killed.returncode == -9
    assert [row["b"] for row in await database.fetch("SELECT b FROM a")] == [1]


@pytest.mark.parametrize(
    ("value", "message"),
    [(2**63, "too large"), (float("nan"), "NaN"), ([1], "not supported"), ("\ud800", "failed")],
)
async def test_values_sqlite_cannot_keep(database: Database, value: object, message: str) -> None:
    """Each is refused rather than changed."""
    with pytest.raises(DatabaseError, match=message):
        await database.fetch_value("SELECT $1", value)


@pytest.mark.parametrize("sql", ["SELECT $2", "SELECT $0", "SELECT $1, $3"])
async def test_placeholders_with_a_gap(database: Database, sql: str) -> None:
    """They are refused by both databases; here with the number that is missing."""
    with pytest.raises(DatabaseError, match=r"it has no \$\d|there is no \$0"):
        await database.fetch(sql, 1, 2)


async def test_a_trigger_in_a_script(database: Database) -> None:
    """The semicolons inside it do not end it."""
    await database.execute(
        "CREATE TABLE log (b INTEGER);"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO log VALUES (new.b); INSERT INTO log VALUES (0); END;"
        "INSERT INTO a VALUES (7);",
    )
    assert await database.fetch_value("SELECT sum(b) FROM log") == 7


async def test_a_process_that_never_closes_still_ends(path: Path) -> None:
    """The thread does not keep alive a process whose main thread has ended."""
    code = (
        "import asyncio, sys\n"
        "from heykit.database import sqlite\n"
        "loop = asyncio.new_event_loop()\n"
        "opening = sqlite(sys.argv[1])\n"
        "loop.run_until_complete(opening.__aenter__())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, str(path)],
        check=False,
        cwd=Path(__file__).parents[2],
        timeout=30,
        capture_output=True,
    )
    assert done.returncode == 0


async def test_a_file_that_is_removed_is_noticed_before_anything_is_written_to_it(tmp_path: Path) -> None:
    path = tmp_path / "videos.db"
    async with sqlite(path) as database:
        await database.execute("CREATE TABLE videos (title TEXT)")
        kept = path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(Unavailable, match="was removed or replaced"):
            await database.execute("INSERT INTO videos VALUES ('lost')")
        assert (await database.health()).status == "fail"
        path.touch()  # another file of that name is not ours
        with pytest.raises(Unavailable, match="was removed or replaced"):
            await database.execute("INSERT INTO videos VALUES ('lost')")
        kept.rename(path)
        await database.execute("INSERT INTO videos VALUES ('kept')")
        assert (await database.health()).status == "pass"
        assert await database.fetch_value("SELECT count(*) FROM videos") == 1


async def test_a_transaction_does_not_commit_to_a_file_that_is_gone_and_frees_the_database(tmp_path: Path) -> None:
    path = tmp_path / "videos.db"
    async with sqlite(path) as database:
        await database.execute("CREATE TABLE videos (title TEXT)")
        elsewhere = tmp_path / "elsewhere.db"

        async def write() -> None:
            async with database.transaction() as transaction:
                await transaction.execute("INSERT INTO videos VALUES ('lost')")
                path.rename(elsewhere)

        with pytest.raises(Unavailable, match="was removed or replaced"):
            await write()
        elsewhere.rename(path)
        assert await database.fetch_value("SELECT count(*) FROM videos") == 0


async def test_a_full_disk_is_unavailable_and_its_health_fails_until_there_is_room_again(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with sqlite(tmp_path / "videos.db") as database:
        await database.execute("CREATE TABLE videos (title TEXT)")
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
        try:
            with pytest.raises(Unavailable, match="the disk refuses what SQLite writes"):
                await database.execute("INSERT INTO videos VALUES ($1)", "x" * 1_000_000)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
            assert (await database.health()).status == "fail"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (await database.health()).status == "pass"
        await database.execute("INSERT INTO videos VALUES ($1)", "x" * 1_000_000)


async def test_what_it_makes_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "videos.db"
    async with sqlite(path) as database:
        await database.execute("CREATE TABLE videos (title TEXT)")
        modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in tmp_path.iterdir()}  # noqa: ASYNC240
    assert set(modes.values()) == {0o600}
    assert len(modes) >= 2
