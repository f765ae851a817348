"""Sessions: who is logged in, from where, since when; listed, limited, ended.

    async with database_sessions(database) as sessions:
        login = await sessions.start(user.id, ip="192.0.2.7", user_agent="Firefox")
        login.secret  # for its user alone: a cookie holds it, or a refresh token
        session = await sessions.touch(login.secret)  # None once it has ended
        await sessions.end_all(user.id, keep=session.id)

The same in this process's memory (`memory_sessions`), in Redis (`redis_sessions`) and in a database
(`database_sessions`, with the tables of `SESSION_MIGRATIONS`). A secret has 128 random bits and is stored nowhere: a
store holds its SHA-256, which is the session's `id` and may be shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from heykit.health import Health
from heykit.security._session import Outcome, Rules, Session, Started
from heykit.security._session_database import MIGRATIONS as SESSION_MIGRATIONS
from heykit.security._session_database import SessionsInDatabase
from heykit.security._session_memory import SessionsInMemory
from heykit.security._session_redis import SessionsInRedis
from heykit.security._sessions import OnRevoked, SessionsOf
from heykit.security.protocol import Commands, SecurityDatabase

__all__ = [
    "SESSION_MIGRATIONS",
    "Outcome",
    "Session",
    "Sessions",
    "Started",
    "database_sessions",
    "memory_sessions",
    "redis_sessions",
]

_DAY: Final = 86_400.0  # seconds
Clock = Callable[[], float]
Entropy = Callable[[int], bytes]


class Sessions(Protocol):
    """The sessions of all users.

    Every method raises Unavailable where its store is away, and TimedOut where it does not answer in time.
    """

    async def start(self, user: str, /, *, ip: str = "", user_agent: str = "") -> Started:
        """Start a session with a new secret; where the user has as many as may be, their oldest ends.

        Raises ValueError for a user's id that is empty, longer than 255 characters, or that not every store could keep.
        """
        ...

    async def get(self, secret: str, /) -> Session | None:
        """Find the session that a secret opens, if it has not ended."""
        ...

    async def by_id(self, id: str, /) -> Session | None:
        """Find a session by what may be shown of it, if it has not ended. An id opens nothing: take none from a client
        but within something signed."""  # noqa: D205, D209 - one sentence and its warning
        ...

    async def touch(self, secret: str, /) -> Session | None:
        """Find a session and let it live on; that it was seen is written down once a minute at most."""
        ...

    async def renew(self, secret: str, /) -> Started | None:
        """Give a session a new secret and id, and end the old ones: whenever its user may do more than before."""
        ...

    async def advance(self, id: str, generation: int, /, *, grace: float) -> tuple[Outcome, Session | None]:
        """Take a refresh token's generation for the next one; of many callers one has "rotated" it.

        The id must come out of a token that was authenticated.

        "repeated" is the one before within `grace` seconds, whose successor is the latest. One that is older was
        "reused", and the session has ended. "unknown" is a session that is not there, or has ended.
        """
        ...

    async def of_user(self, user: str, /) -> Sequence[Session]:
        """List a user's sessions, the oldest first."""
        ...

    async def end(self, id: str, /, *, user: str | None = None) -> bool:
        """End a session, if it is this user's; tell whether there was one."""
        ...

    async def end_all(self, user: str, /, *, keep: str | None = None) -> int:
        """End a user's sessions, but for the one to keep, and begin their next epoch. Tell how many ended."""
        ...

    async def epoch(self, user: str, /) -> int:
        """Tell how often all sessions of a user were ended: what was signed in an epoch before is void."""
        ...

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int]: ...


async def _memory_sessions(
    *,
    idle: float = 14 * _DAY,
    absolute: float = 90 * _DAY,
    per_user: int = 10,
    on_revoked: OnRevoked | None = None,
    now: Clock = time.time,
    entropy: Entropy = os.urandom,
) -> AsyncGenerator[Sessions]:
    """Open sessions in this process's memory: they end with it, and no other process knows them.

    A session ends `idle` seconds after it was last used, and `absolute` seconds after its start. A user has at most
    `per_user`: one more, and the oldest ends. `on_revoked` is called with each session that was ended before its time,
    in the process that ended it. Raises ValueError for numbers that make no sense.
    """
    yield SessionsOf(SessionsInMemory(), Rules(idle, absolute, per_user, _every(idle)), on_revoked, now, entropy)


async def _redis_sessions(
    redis: Commands,
    *,
    prefix: str = "session:",
    idle: float = 14 * _DAY,
    absolute: float = 90 * _DAY,
    per_user: int = 10,
    on_revoked: OnRevoked | None = None,
    now: Clock = time.time,
    entropy: Entropy = os.urandom,
) -> AsyncGenerator[Sessions]:
    """Open sessions in Redis, for every process: all their names begin with `prefix`.

    The rest is as with `memory_sessions`. It is for one server, which must not evict what it holds
    (`maxmemory-policy noeviction`), and not for a cluster.
    """
    store = SessionsInRedis(redis, prefix, absolute)
    yield SessionsOf(store, Rules(idle, absolute, per_user, _every(idle)), on_revoked, now, entropy)


async def _database_sessions(
    database: SecurityDatabase,
    *,
    idle: float = 14 * _DAY,
    absolute: float = 90 * _DAY,
    per_user: int = 10,
    on_revoked: OnRevoked | None = None,
    now: Clock = time.time,
    entropy: Entropy = os.urandom,
) -> AsyncGenerator[Sessions]:
    """Open sessions in a database that has our tables (`SESSION_MIGRATIONS`), for every process.

    The rest is as with `memory_sessions`.
    """
    store = SessionsInDatabase(database)
    yield SessionsOf(store, Rules(idle, absolute, per_user, _every(idle)), on_revoked, now, entropy)


memory_sessions = asynccontextmanager(_memory_sessions)
redis_sessions = asynccontextmanager(_redis_sessions)
database_sessions = asynccontextmanager(_database_sessions)


def _every(idle: float) -> float:
    """How often it is written down that a session was seen: once a minute, or four times in a short life."""
    return min(60.0, idle / 4)
