from __future__ import annotations

import sys
from asyncio import create_subprocess_exec
from pathlib import Path

import anyio
import pytest

from heykit.database import Database, connect, migrate
from heykit.errors import DatabaseError, MigrationError

VIDEOS = ("videos", "CREATE TABLE videos (id INTEGER PRIMARY KEY); CREATE INDEX by_id ON videos (id);\n-- done")
TITLES = ("titles", "ALTER TABLE videos ADD COLUMN title TEXT; INSERT INTO videos VALUES (1, 'first; of all');")


async def test_migrations_run_in_order_and_once(database: Database) -> None:
    """Several statements each; what stands already is left alone, what is new is added."""
    await migrate(database, [VIDEOS])
    await migrate(database, [VIDEOS, TITLES])
    await migrate(database, [VIDEOS, TITLES])
    assert await database.fetch_value("SELECT title FROM videos") == "first; of all"
    names = await database.fetch("SELECT name FROM heykit_migrations ORDER BY name DESC")
    assert [row["name"] for row in names] == ["videos", "titles"]


async def test_a_changed_text_is_refused_before_anything_runs(database: Database) -> None:
    """What was applied cannot be applied again differently."""
    await migrate(database, [VIDEOS])
    with pytest.raises(MigrationError, match="'videos' was applied with another text"):
        await migrate(database, [TITLES, ("videos", "CREATE TABLE videos (id TEXT)")])
    assert await database.fetch_value("SELECT count(*) FROM heykit_migrations") == 1


async def test_a_failing_migration_is_undone_and_can_be_repaired(database: Database) -> None:
    """Its first statement too; those before it stand."""
    broken = ("titles", "ALTER TABLE videos ADD COLUMN title TEXT; SELEC 1;")
    with pytest.raises(MigrationError, match="'titles' failed and was undone"):
        await migrate(database, [VIDEOS, broken])
    with pytest.raises(DatabaseError):
        await database.fetch("SELECT title FROM videos")
    await migrate(database, [VIDEOS, TITLES])
    assert await database.fetch_value("SELECT count(*) FROM videos") == 1


async def test_a_migration_must_not_end_its_transaction(database: Database) -> None:
    """A COMMIT in the text would leave it half applied and forgotten."""
    with pytest.raises(MigrationError):
        await migrate(database, [("commits", "CREATE TABLE one (id INTEGER); COMMIT;")])
    await migrate(database, [VIDEOS])


async def test_two_migrations_of_one_name(database: Database) -> None:
    """The second would never run."""
    with pytest.raises(MigrationError, match="name 'videos'"):
        await migrate(database, [VIDEOS, VIDEOS])


async def test_workers_that_start_at_once_migrate_once(database_url: str) -> None:
    """Eight of them, each with connections of its own: the row that is inserted stands once."""

    async def start() -> None:
        async with connect(database_url, max_connections=2) as database:
            await migrate(database, [VIDEOS, TITLES])
            assert await database.fetch_value("SELECT count(*) FROM videos") == 1

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(start)


async def test_processes_that_start_at_once_migrate_once(database_url: str, tmp_path: Path) -> None:
    """Processes of their own, as workers of a server are."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import asyncio, sys\n"
        "from heykit.database import connect, migrate\n"
        "async def main():\n"
        "    async with connect(sys.argv[1]) as database:\n"
        f"        await migrate(database, {[VIDEOS, TITLES]!r})\n"
        "asyncio.run(main())\n",
    )
    root = Path(__file__).parents[2]
    workers = [
        await create_subprocess_exec(sys.executable, str(script), database_url, cwd=root, env={"PYTHONPATH": str(root)})
        for _ in range(4)
    ]
    assert [await worker.wait() for worker in workers] == [0, 0, 0, 0]
    async with connect(database_url) as database:
        assert await database.fetch_value("SELECT count(*) FROM videos") == 1
