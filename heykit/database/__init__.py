"""Databases: one SQL text with `$1` placeholders for PostgreSQL and SQLite, rows as dataclasses, transactions.

    async with connect("sqlite:///videos.db") as database:
        await migrate(database, [("videos", "CREATE TABLE videos (id INTEGER PRIMARY KEY, title TEXT NOT NULL)")])
        async with database.transaction() as transaction:
            await transaction.execute("INSERT INTO videos (title) VALUES ($1)", "Hello")
            transaction.after_commit(announce)
        videos = await database.fetch("SELECT id, title FROM videos", into=Video)

**Values.** None, bool, int, float, str, bytes, `datetime` (aware), `date`, `UUID` and enums (by their value) go in, and
come back through `into=` equal from both databases. SQLite keeps a datetime as text in UTC of one width, so that it
sorts. Column types that serve both: INTEGER, BIGINT, BOOLEAN, DOUBLE PRECISION, TEXT, BYTEA, TIMESTAMPTZ, DATE, UUID.
A `Decimal` is exact in PostgreSQL only, so SQLite refuses it: keep money in whole cents. A column without a field is
ignored; a field without a column takes its default.

**Portable SQL.** CAST rather than `::`, CURRENT_TIMESTAMP rather than `now()`; RETURNING, ON CONFLICT, `->>` and IS
DISTINCT FROM work on both. `execute` without arguments takes several statements at once, and runs all or none.

**Transactions.** SQLite has one writer, so a transaction holds the whole database and others wait their turn: keep it
short, and inside it ask the transaction, not the database. PostgreSQL refuses everything after a failed statement
until the transaction ends: put what may fail in a transaction of its own inside, which is a savepoint on both.

    async def transfer(transaction: Transaction) -> None: ...

    await run_transaction(database, transfer, isolation="serializable", attempts=5)  # each time from its start

**Notifications.** `postgres(...)` alone can listen: `async with database.listen("orders") as feed`, and each event is a
`Notification`, or says that some may have been missed: `Lost`, and `Resumed` when it is time to read all anew.
"""

from __future__ import annotations

from heykit._feeds import Lost, Resumed
from heykit.database._connect import connect, postgres, sqlite
from heykit.database._migrate import migrate
from heykit.database._run_transaction import run_transaction
from heykit.database.protocol import (
    Connection,
    Database,
    Isolation,
    Notification,
    PostgresDatabase,
    Row,
    Transaction,
)

__all__ = [
    "Connection",
    "Database",
    "Isolation",
    "Lost",
    "Notification",
    "PostgresDatabase",
    "Resumed",
    "Row",
    "Transaction",
    "connect",
    "migrate",
    "postgres",
    "run_transaction",
    "sqlite",
]
