"""What cannot work is one clear error, which shows no password, and leaves nothing open."""

from __future__ import annotations

import asyncio
import math
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heykit.database import Database, connect, postgres, sqlite
from heykit.errors import DatabaseError, HeykitError, Unavailable
from tests.servers import PostgresServer

SECRET = "hunter2"


@contextmanager
def nothing_left_open() -> Generator[None]:
    """Raise if a task or a file is left when the block ends."""
    tasks, files = asyncio.all_tasks(), len(list(Path("/dev/fd").iterdir()))
    yield
    assert asyncio.all_tasks() == tasks
    assert len(list(Path("/dev/fd").iterdir())) == files


def shown(error: BaseException) -> str:
    """Give all that a traceback would print."""
    return "".join(traceback.format_exception(error))


async def refused(url: str, kind: type[HeykitError]) -> HeykitError:
    with nothing_left_open(), pytest.raises(kind) as refusal:
        async with connect(url, connection_timeout=1, retry_attempts=1):
            raise AssertionError
    return refusal.value


@pytest.fixture
def guarded(server: PostgresServer) -> str:
    """A server that asks two users for their passwords, as what follows the user in its URL."""
    server.ask_for_passwords_of("guarded", "nobody")
    server.sql("DROP ROLE IF EXISTS guarded")
    server.sql("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    return f"/postgres?{server.url().partition('?')[2]}"


@pytest.mark.parametrize("user", ["guarded", "nobody"])
async def test_a_wrong_user_or_password(guarded: str, user: str) -> None:
    error = await refused(f"postgresql://{user}:{SECRET}@{guarded}", DatabaseError)
    assert "refuses the user or the password of the URL: check both" in str(error)
    assert SECRET not in shown(error)
    async with connect(f"postgresql://guarded:right@{guarded}") as database:
        assert await database.fetch_value("SELECT current_user") == "guarded"


async def test_an_unknown_host() -> None:
    error = await refused(f"postgresql://me:{SECRET}@nowhere.invalid/db", Unavailable)
    assert "the PostgreSQL server at nowhere.invalid" in str(error)
    assert SECRET not in shown(error)


@pytest.mark.parametrize(
    "url", [f"mysql://me:{SECRET}@host/db", f"http://me:{SECRET}@host", f"{SECRET}", f":{SECRET}://x"]
)
def test_a_url_of_another_scheme(url: str) -> None:
    with pytest.raises(DatabaseError, match="names no database heykit knows") as refusal:
        connect(url)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_connections": 0},
        {"max_connections": -1},
        {"connection_timeout": 0.0},
        {"connection_timeout": -1.0},
        {"connection_timeout": math.nan},
        {"command_timeout": 0.0},
        {"command_timeout": -1.0},
        {"command_timeout": math.nan},
        {"retry_attempts": -1},
        {"health_check_interval": -1.0},
        {"health_check_interval": math.nan},
        {"max_lifetime": 0.0},
        {"min_connections": 11},
    ],
)
async def test_limits_that_make_no_sense(postgres_url: str, limits: dict[str, float]) -> None:
    with nothing_left_open(), pytest.raises(ValueError, match="must"):
        async with postgres(postgres_url, **limits):  # type: ignore[arg-type]
            raise AssertionError


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
async def test_a_time_limit_of_sqlite_that_makes_no_sense(tmp_path: Path, seconds: float) -> None:
    with nothing_left_open(), pytest.raises(ValueError, match="command_timeout must be above 0"):
        async with sqlite(tmp_path / "a.db", command_timeout=seconds):
            raise AssertionError


@pytest.mark.parametrize("arguments", [(), (1,), (1, SECRET, 3)])
async def test_a_wrong_number_of_arguments(database: Database, arguments: tuple[object, ...]) -> None:
    with pytest.raises(DatabaseError, match=r"argument|placeholder") as refusal:
        await database.execute("SELECT CAST($1 AS INTEGER), CAST($2 AS TEXT)", *arguments)
    assert SECRET not in str(refusal.value)
    assert await database.fetch_value("SELECT 1") == 1
