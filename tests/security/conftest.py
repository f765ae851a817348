"""Sessions in each kind of store; one database of each kind for all tests, emptied before each."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.security.sessions_world import STORES, SessionWorld, session_world
from tests.servers import PostgresServer


@pytest.fixture(scope="session")
def session_urls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('sessions')}/test.db"}


@pytest.fixture(params=STORES)
def session_store(request: pytest.FixtureRequest, session_urls: dict[str, str], redis_url: str) -> tuple[str, str]:
    """The kind of a store, and its URL."""
    kind: str = request.param
    if kind == "postgres" and kind not in session_urls:
        server = request.getfixturevalue("postgres_server")
        assert isinstance(server, PostgresServer)
        session_urls[kind] = server.url(server.create_database())
    return kind, redis_url if kind == "redis" else session_urls.get(kind, "")


@pytest.fixture
async def world(session_store: tuple[str, str]) -> AsyncGenerator[SessionWorld]:
    async with session_world(*session_store) as opened:
        yield opened
