"""Sessions in each kind of store, over a clock to turn."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from heykit.database import Database, connect, migrate
from heykit.resources import redis_client
from heykit.security.sessions import (
    SESSION_MIGRATIONS,
    Session,
    Sessions,
    database_sessions,
    memory_sessions,
    redis_sessions,
)
from heykit.security.throttle import THROTTLE_MIGRATIONS
from tests.heygen.world import Clock

STORES = ["memory", "redis", "sqlite", "postgres"]
HOUR, DAY = 3600.0, 86_400.0


@dataclass
class SessionWorld:
    """One store, how to open sessions over it, and what was told of those that ended."""

    open: Callable[..., AbstractAsyncContextManager[Sessions]]
    clock: Clock = field(default_factory=Clock)
    ended: list[Session] = field(default_factory=list)

    async def tell(self, session: Session) -> None:
        self.ended.append(session)


async def empty(database: Database) -> None:
    """Make our tables, with nothing in them."""
    await migrate(database, [*SESSION_MIGRATIONS, *THROTTLE_MIGRATIONS])
    for table in ("heykit_sessions", "heykit_session_epochs", "heykit_throttle"):
        await database.execute(f"DELETE FROM {table}")


@asynccontextmanager
async def session_world(kind: str, url: str) -> AsyncGenerator[SessionWorld]:
    if kind == "memory":
        yield SessionWorld(memory_sessions)
    elif kind == "redis":
        async with redis_client(url, max_connections=10, command_timeout=20) as redis:
            yield SessionWorld(lambda **options: redis_sessions(redis, **options))
    else:
        async with connect(url, max_connections=10, command_timeout=20) as database:
            await empty(database)
            yield SessionWorld(lambda **options: database_sessions(database, **options))
