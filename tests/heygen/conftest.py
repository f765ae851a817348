"""One database of each kind for all these tests, emptied before each: creating one takes longer than a test."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from heykit.database import Database, connect, migrate
from heykit.heygen import MIGRATIONS, User
from tests.heygen.world import World
from tests.servers import PostgresServer


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('heygen')}/test.db"
    server = request.getfixturevalue("postgres_server")
    assert isinstance(server, PostgresServer)
    return server.url(server.create_database())


@pytest.fixture
async def database(shared_url: str) -> AsyncGenerator[Database]:
    async with connect(shared_url, max_connections=5, command_timeout=20) as opened:
        await migrate(opened, MIGRATIONS)
        await opened.execute("DELETE FROM users")  # and with them their videos
        await opened.execute("DELETE FROM avatars")
        yield opened


@pytest.fixture
async def here(database: Database) -> World:
    return World(database)


@pytest.fixture
async def ada(here: World) -> User:
    return await here.user()
