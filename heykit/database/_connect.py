"""The three ways to open a database; a driver is imported when it is first asked for."""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import unquote

from heykit.database.protocol import Database, PostgresDatabase
from heykit.errors import DatabaseError


def connect(
    url: str,
    *,
    max_connections: int = 10,
    connection_timeout: float = 5.0,
    command_timeout: float = 30.0,
    retry_attempts: int = 3,
    health_check_interval: float = 30.0,
) -> AbstractAsyncContextManager[Database]:
    """Open the database that `url` names.

    `sqlite:///relative.db`, `sqlite:////absolute.db` and `sqlite:///:memory:` are SQLite's, which has one connection
    and takes only `command_timeout`; `postgresql://`, `postgres://` and `postgresql+asyncpg://` take all of them,
    as `postgres` does.

    Raises DatabaseError for a URL that names no database, and at the opening what `sqlite` and `postgres` raise.
    """
    scheme, separator, rest = url.partition("://")
    if separator and scheme == "sqlite":
        return sqlite(_sqlite_path(rest), command_timeout=command_timeout)
    if separator and scheme in ("postgresql", "postgres", "postgresql+asyncpg"):
        return postgres(
            f"postgresql://{rest}",
            max_connections=max_connections,
            connection_timeout=connection_timeout,
            command_timeout=command_timeout,
            retry_attempts=retry_attempts,
            health_check_interval=health_check_interval,
        )
    # Without "://" the part before it could be anything, a password too.
    named = f"the scheme {scheme!r}" if separator and scheme.replace("+", "").isalnum() else "a URL without a scheme"
    raise DatabaseError(
        f"{named} names no database heykit knows: write sqlite:///file.db or postgresql://user@host/name"
    )


def sqlite(path: str | Path, *, command_timeout: float = 30.0) -> AbstractAsyncContextManager[Database]:
    """Open the SQLite database in the file `path`, which is created if it is missing, or in memory for ":memory:".

    A statement that takes longer than `command_timeout` seconds is interrupted.

    Raises DatabaseError for a path that cannot be opened, Unavailable while another process keeps it locked, and
    ValueError for a limit that makes no sense.
    """
    if not command_timeout > 0:
        raise ValueError("command_timeout must be above 0")
    from heykit.database._sqlite import open_sqlite

    return open_sqlite(str(path), command_timeout=command_timeout)


def postgres(
    url: str,
    *,
    max_connections: int = 10,
    connection_timeout: float = 5.0,
    command_timeout: float = 30.0,
    retry_attempts: int = 3,
    health_check_interval: float = 30.0,
    min_connections: int = 0,
    max_lifetime: float = 3600.0,
    statement_cache_size: int = 100,
    report_held: float = math.inf,
) -> AbstractAsyncContextManager[PostgresDatabase]:
    """Open a pool of connections to PostgreSQL.

    `connection_timeout` seconds bound the wait for a connection, `command_timeout` seconds each statement. A statement
    that certainly had no effect (its connection was found dead before it was sent, or it lost against another) is
    repeated up to `retry_attempts` times; with 0, whoever waits for a connection is refused at the first that cannot be
    opened. Every `health_check_interval` seconds the connections that lie idle are tried, and one idle for longer is
    tried before it is given out. `min_connections` are kept open; none is used for longer than about `max_lifetime`
    seconds. Behind pgbouncer in its transaction mode, `statement_cache_size=0` prepares no statements. A connection
    that is held for `report_held` seconds is logged, with the place where it was taken.

    Raises Unavailable when the server is away, DatabaseError when it refuses the credentials or has no such database,
    and ValueError for a limit that makes no sense.
    """
    from heykit.database._postgres import open_postgres

    return open_postgres(
        url,
        max_connections=max_connections,
        connection_timeout=connection_timeout,
        command_timeout=command_timeout,
        retry_attempts=retry_attempts,
        health_check_interval=health_check_interval,
        min_connections=min_connections,
        max_lifetime=max_lifetime,
        statement_cache_size=statement_cache_size,
        report_held=report_held,
    )


def _sqlite_path(rest: str) -> str:
    path = rest.removeprefix("/")
    if not path or (path == rest and path != ":memory:"):
        raise DatabaseError("a SQLite URL is sqlite:///relative.db, sqlite:////absolute.db or sqlite:///:memory:")
    if "?" in path:
        raise DatabaseError("a SQLite URL takes no parameters after a question mark: leave them out")
    return unquote(path)
