"""Migrations: SQL texts applied in order, each once, however many processes start at the same time.

Each runs in one transaction with the row that remembers it, and that row is written first: its primary key is the
lock. Who comes second waits for the first to commit, then finds the row and goes on; if the first fails, its row goes
with its changes and the second tries for itself. This needs nothing but SQL, so it serves every database alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from heykit.database.protocol import Database
from heykit.errors import DatabaseError, MigrationError

_TABLE = """
CREATE TABLE IF NOT EXISTS heykit_migrations (
    name TEXT PRIMARY KEY,
    checksum TEXT NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
)
"""
_RECALL = "SELECT name, checksum FROM heykit_migrations"
_REMEMBER = "INSERT INTO heykit_migrations (name, checksum) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
_CREATING_ATTEMPTS = 3


@dataclass(frozen=True)
class _Applied:
    name: str
    checksum: str


async def migrate(database: Database, migrations: Sequence[tuple[str, str]]) -> None:
    """Apply the migrations, pairs of a name and an SQL text, that the database does not have yet.

    They run in the order given, each once and in a transaction of its own, also when several processes start at once.
    A text may hold several statements. Each is bounded by the database's `command_timeout`.

    Raises MigrationError when one fails, which leaves it undone and those before it done, when a text was changed after
    it was applied, or when a name stands twice; what was undone can be repaired and run again.
    """
    _check_names(migrations)
    await _create_table(database)
    applied = {row.name: row for row in await database.fetch(_RECALL, into=_Applied)}
    for name, sql in migrations:
        if name in applied:
            _check_unchanged(applied[name], sql)
    for name, sql in migrations:
        if name not in applied:
            await _apply(database, name, sql)


async def _apply(database: Database, name: str, sql: str) -> None:
    try:
        async with database.transaction() as transaction:
            if await transaction.execute(_REMEMBER, name, _checksum(sql)):
                await transaction.execute(sql)
                return
            # Another process was faster.
            found = await transaction.fetch(f"{_RECALL} WHERE name = $1", name, into=_Applied)
    except DatabaseError as error:
        raise MigrationError(f"the migration {name!r} failed and was undone: {error}") from error
    for row in found:
        _check_unchanged(row, sql)


async def _create_table(database: Database) -> None:
    """Create the table. PostgreSQL lets two who create it at once collide; the second attempt finds it there."""
    for _ in range(_CREATING_ATTEMPTS - 1):
        with suppress(DatabaseError):
            await database.execute(_TABLE)
            return
    await database.execute(_TABLE)


def _check_names(migrations: Sequence[tuple[str, str]]) -> None:
    names = [name for name, _ in migrations]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MigrationError(f"two migrations have the name {twice!r}: give each its own")


def _check_unchanged(applied: _Applied, sql: str) -> None:
    if applied.checksum != _checksum(sql):
        raise MigrationError(
            f"the migration {applied.name!r} was applied with another text: restore it, and write a new one",
        )


def _checksum(sql: str) -> str:
    return hashlib.sha256(sql.encode()).hexdigest()
