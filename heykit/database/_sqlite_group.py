"""Many small writes, one commit: what makes each durable is a wait for the disk, and they can wait for it together."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from heykit.database._sqlite_text import is_interrupted, is_of_the_disk
from heykit.database._sqlite_work import run

R = TypeVar("R")
Outcome = tuple[object, Exception | None]

MOST = 256  # writes in one commit
_LONGEST = 0.02  # seconds for all of them: a slow one must not keep the others from their answers
_ROLLBACKS = 10
_INSTRUCTIONS = 1000  # of SQLite's machine, between two looks at the clock
_KEEPS_A_PART = re.compile(r"\bOR\s+FAIL\b", re.IGNORECASE)  # of what it changed before it failed
_CHANGES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def is_change(sql: str) -> bool:
    """Tell whether a statement changes rows and nothing else, so that it may share a transaction."""
    return sql.lstrip()[:7].upper().startswith(_CHANGES) and _KEEPS_A_PART.search(sql) is None


def committed_together(
    connection: sqlite3.Connection,
    writes: Sequence[Callable[[], object]],
    require_usable: Callable[[], None],
    *,
    clock: Callable[[], float],
) -> list[Outcome] | None:
    """Do the writes in one transaction, each on a savepoint, and commit; give what came of each.

    None where nothing of it stands: somebody else is writing, something ended the whole transaction, or it took too
    long. Then each is to be done by itself.
    """
    until = clock() + _LONGEST
    connection.set_progress_handler(lambda: clock() > until, _INSTRUCTIONS)
    try:
        require_usable()
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_on_a_savepoint(connection, write) for write in writes]
        require_usable()
        connection.execute("COMMIT")
    except Exception:  # noqa: BLE001 - done by itself, each is told what is wrong with it
        _roll_back(connection)
        return None
    finally:
        connection.set_progress_handler(None, 0)
    return outcomes


def _roll_back(connection: sqlite3.Connection) -> None:
    for _ in range(_ROLLBACKS):
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # interrupted, by the time limit of the write that ran last
                connection.execute("ROLLBACK")


def _on_a_savepoint(connection: sqlite3.Connection, write: Callable[[], object]) -> Outcome:
    connection.execute("SAVEPOINT heykit_one")
    try:
        result = write()
    except Exception as error:
        # Interrupted, out of disk, or by ON CONFLICT ROLLBACK, the whole transaction may be over.
        if not connection.in_transaction or is_of_the_disk(error) or is_interrupted(error):
            raise
        run(connection, ["ROLLBACK TO heykit_one", "RELEASE heykit_one"])
        return None, error
    connection.execute("RELEASE heykit_one")
    return result, None
