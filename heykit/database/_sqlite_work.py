"""What the SQLite thread does with its connection: plain, blocking functions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from heykit.database._rows import Table

R = TypeVar("R")


def fetched(connection: sqlite3.Connection, sql: str, values: Mapping[str, object], *, first: bool) -> Table:
    """Give all rows, or the first: a change with RETURNING is always stepped to its end, which is where it commits."""
    before = connection.total_changes
    cursor = connection.execute(sql, values)
    try:
        columns = columns_of(cursor)
        rows = cursor.fetchmany(1) if first else cursor.fetchall()
        if first and connection.total_changes != before:
            exhaust(cursor)
    finally:
        cursor.close()
    return Table(columns, rows)


def changed(connection: sqlite3.Connection, sql: str, values: Mapping[str, object]) -> int:
    """Run one statement to its end and give the number of rows it changed."""
    before = connection.total_changes
    cursor = connection.execute(sql, values)
    try:
        exhaust(cursor)
        if cursor.rowcount >= 0:
            return cursor.rowcount
    finally:
        cursor.close()
    # sqlite3 counts only what begins with INSERT, UPDATE, DELETE or REPLACE, which a WITH clause does not.
    return 0 if connection.total_changes == before else int(connection.execute("SELECT changes()").fetchone()[0])


def atomically(connection: sqlite3.Connection, work: Callable[[], R]) -> R:
    """Do all of the work or none, in a transaction of its own or inside the one that is open."""
    if connection.in_transaction:
        return _between(
            connection,
            work,
            "SAVEPOINT heykit_all",
            "RELEASE heykit_all",
            ["ROLLBACK TO heykit_all", "RELEASE heykit_all"],
        )
    return _between(connection, work, "BEGIN IMMEDIATE", "COMMIT", ["ROLLBACK"])


def run(connection: sqlite3.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.execute(statement)


def columns_of(cursor: sqlite3.Cursor) -> tuple[str, ...]:
    return tuple(column[0] for column in cursor.description or ())


def exhaust(cursor: sqlite3.Cursor) -> None:
    for _ in cursor:
        continue


def _between(connection: sqlite3.Connection, work: Callable[[], R], begin: str, keep: str, undo: list[str]) -> R:
    connection.execute(begin)
    try:
        result = work()
        connection.execute(keep)
    except BaseException:
        if connection.in_transaction:
            run(connection, undo)
        raise
    return result
