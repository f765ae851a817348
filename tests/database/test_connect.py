from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from heykit.database import connect, sqlite
from heykit.errors import DatabaseError, Unavailable


async def test_a_relative_and_an_absolute_sqlite_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three slashes and four."""
    monkeypatch.chdir(tmp_path)
    async with connect("sqlite:///relative.db"):
        assert (tmp_path / "relative.db").exists()
    async with connect(f"sqlite:///{tmp_path}/with%20space.db"):
        assert (tmp_path / "with space.db").exists()


@pytest.mark.parametrize("url", ["sqlite://:memory:", "sqlite:///:memory:"])
async def test_sqlite_in_memory(url: str) -> None:
    """Each opening is a database of its own."""
    async with connect(url) as database:
        await database.execute("CREATE TABLE a (b INTEGER)")
        await database.execute_many("INSERT INTO a VALUES ($1)", [(n,) for n in range(600)])
        async with database.stream("SELECT b FROM a") as stream:
            assert len([row async for row in stream]) == 600
        assert await database.fetch_value("SELECT count(*) FROM a") == 600
    async with connect(url) as database:
        with pytest.raises(DatabaseError):
            await database.fetch("SELECT * FROM a")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
async def test_the_schemes_of_postgres(postgres_url: str, scheme: str) -> None:
    """The one of SQLAlchemy too, so that a setting need not be changed."""
    async with connect(postgres_url.replace("postgresql", scheme)) as database:
        assert await database.fetch_value("SELECT 1") == 1


@pytest.mark.parametrize(
    "url",
    [
        "mysql://admin:hunter2@db/app",
        "admin:hunter2@db",
        "hunter2",
        "hunter2!://db",
        "sqlite://hunter2.db",
        "sqlite:///",
        "sqlite:///a.db?password=hunter2",
    ],
)
def test_a_url_that_names_no_database(url: str) -> None:
    """The error says what to write and shows nothing of what was written."""
    with pytest.raises(DatabaseError, match=r"sqlite:///|leave them out") as caught:
        connect(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgresql://admin:hunter2@127.0.0.1:1/app", "127.0.0.1:1"),
        ("postgresql://admin:hunter2@/app?host=/nowhere", "/nowhere"),
        ("postgresql://admin:hun/hunter2@127.0.0.1:1/app", ""),
        ("postgresql://admin:hunter2@127.0.0.1:port/app", ""),
    ],
)
async def test_a_postgres_that_is_away_at_the_opening(url: str, named: str) -> None:
    """The error names the server, not the credentials, and comes within the time limit."""
    with pytest.raises((Unavailable, DatabaseError)) as caught:
        async with connect(url, connection_timeout=0.3, retry_attempts=1):
            pass
    assert named in str(caught.value)
    assert "hun" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_a_database_that_does_not_exist(postgres_url: str) -> None:
    """To try again would not help, so it fails at once and says what to do."""
    with pytest.raises(DatabaseError, match="create it"):
        async with connect(postgres_url.replace("/test_", "/missing_")):
            pass


async def test_paths_sqlite_cannot_open(tmp_path: Path) -> None:
    """Each error names the path and what to do."""
    (tmp_path / "text.db").write_text("This is not a database, although it is long enough to be taken for one." * 20)
    for path, advice in [("missing/a.db", "make the directory"), (".", "is a directory"), ("text.db", "not a SQLite")]:
        with pytest.raises(DatabaseError, match=advice) as caught:
            async with sqlite(tmp_path / path):
                pass
        assert str(tmp_path / path) in str(caught.value)


def test_the_import_is_light() -> None:
    """Neither driver is loaded by the import, nor FastAPI."""
    code = """
import sys, heykit.database
heykit.database.connect("sqlite:///:memory:")
print({"asyncpg", "fastapi", "pydantic"} & set(sys.modules))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "set()"
