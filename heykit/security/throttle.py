"""Logins are throttled by account and by address, so that nobody can try passwords one after the other.

    async with memory_throttle() as throttle:
        await throttle.attempt("ada", "192.0.2.7")  # Throttled, with the seconds to wait, after too many
        ...
        await throttle.succeeded("ada", "192.0.2.7")  # which gives this attempt back

Attempts are counted before the password is looked at: a thousand at once are no way round it.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from heykit.errors import Throttled
from heykit.health import Health
from heykit.security._throttle import Limit
from heykit.security._throttle_database import MIGRATIONS as THROTTLE_MIGRATIONS
from heykit.security._throttle_database import ThrottleInDatabase
from heykit.security._throttle_memory import ThrottleInMemory
from heykit.security._throttle_redis import ThrottleInRedis
from heykit.security.protocol import Commands, SecurityDatabase

__all__ = [
    "THROTTLE_MIGRATIONS",
    "Limit",
    "Throttle",
    "Throttled",
    "database_throttle",
    "memory_throttle",
    "redis_throttle",
]

ACCOUNT, ADDRESS = Limit(10, per=900), Limit(100, per=900)


class Throttle(Protocol):
    """How often an account, and an address, may still try to log in."""

    async def attempt(self, account: str, address: str, /) -> None:
        """Count an attempt of both. Raises Throttled for one too many, which is not counted."""
        ...

    async def succeeded(self, account: str, address: str, /) -> None:
        """Give back an attempt of an account and of an address: those that failed count on, whoever made them."""
        ...

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int]: ...


async def _memory_throttle(
    *,
    account: Limit = ACCOUNT,
    address: Limit = ADDRESS,
    max_size: int = 100_000,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[Throttle]:
    """Count attempts in this process's memory: by default 10 of an account in a quarter of an hour, 100 of an address.

    They come back one by one, evenly. Of an IPv6 address its first 64 bits count, which are one subscriber's, and an
    empty one is not counted. It keeps `max_size` names; beyond that the longest unused is forgotten.
    """
    yield ThrottleInMemory(account, address, max_size, now)


async def _redis_throttle(
    redis: Commands,
    *,
    prefix: str = "throttle:",
    account: Limit = ACCOUNT,
    address: Limit = ADDRESS,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[Throttle]:
    """Count attempts in Redis, for every process; while Redis is away each counts for itself.

    Names are stored as hashes, and go by themselves once they hold nothing back. The rest is as with `memory_throttle`.
    """
    yield ThrottleInRedis(redis, prefix, account, address, now)


async def _database_throttle(
    database: SecurityDatabase,
    *,
    account: Limit = ACCOUNT,
    address: Limit = ADDRESS,
    now: Callable[[], float] = time.time,
) -> AsyncGenerator[Throttle]:
    """Count attempts in a database that has our table (`THROTTLE_MIGRATIONS`), for every process.

    Names are stored as hashes; those that hold nothing back are deleted with later attempts. The rest is as with
    `memory_throttle`. Where the database is away it raises Unavailable: nobody could log in either.
    """
    yield ThrottleInDatabase(database, account, address, now)


memory_throttle = asynccontextmanager(_memory_throttle)
database_throttle = asynccontextmanager(_database_throttle)
redis_throttle = asynccontextmanager(_redis_throttle)
