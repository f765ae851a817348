from __future__ import annotations

import pytest

from tests.servers import (
    database,
    database_url,
    fragile,
    postgres_server,
    postgres_url,
    redis,
    redis_url,
    server,
    short_path,
    valkey_server,
)

__all__ = [
    "anyio_backend",
    "database",
    "database_url",
    "fragile",
    "postgres_server",
    "postgres_url",
    "redis",
    "redis_url",
    "server",
    "short_path",
    "valkey_server",
]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """asyncpg and the SQLite thread's replies need asyncio."""
    return "asyncio"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is away is tried again at once."""
    monkeypatch.setattr("heykit._keeping._FIRST_PAUSE", 0.001)
    monkeypatch.setattr("heykit._keeping._LONGEST_PAUSE", 0.001)
