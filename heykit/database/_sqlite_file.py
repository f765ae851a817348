"""Opening a SQLite file, and saying what is wrong with a path that cannot be opened."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from heykit.database._sqlite_text import is_busy, is_no_database
from heykit.errors import DatabaseError, HeykitError, Unavailable

_BUSY_SLICE = 0.1  # seconds SQLite waits for another process's lock before the thread looks whether it is still wanted


Identity = tuple[int, int]  # device and inode


def identity_of(path: str) -> Identity | None:
    """Tell one file from another of the same name; None for a database in memory."""
    if path == ":memory:":
        return None
    found = os.stat(path)  # noqa: PTH116 - on the path of every statement
    return found.st_dev, found.st_ino


def require_same(path: str, identity: Identity | None) -> None:
    """Refuse to go on with a file that is no longer there: what is written to it would be lost with the process."""
    try:
        same = identity is None or identity_of(path) == identity
    except OSError:
        same = False
    if not same:
        raise Unavailable(f"the file {path} was removed or replaced while it was open: put it back, or start again")


def absolute(path: str) -> str:
    return path if path == ":memory:" else str(Path(path).absolute())


def open_file(path: str, wanted: Callable[[], bool]) -> sqlite3.Connection:
    """Open for reading and writing, and wait for another process that is opening it too as long as it is `wanted`."""
    connection = _connect(path)
    while True:
        try:
            # FULL: under NORMAL a power cut may undo a commit that was reported.
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            if is_busy(error) and wanted():
                time.sleep(_BUSY_SLICE / 10)  # SQLite does not wait by itself for a change of the journal's mode
                continue
            connection.close()
            raise _explained(path, error) from error
        return connection


def open_reader(path: str) -> sqlite3.Connection:
    """Open a connection that can read only."""
    connection = _connect(path)
    connection.execute("PRAGMA query_only=ON")
    return connection


def _connect(path: str) -> sqlite3.Connection:
    if path != ":memory:":
        # SQLite gives what it makes beside the file the same mode: what others may read begins here.
        with suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    try:
        return sqlite3.connect(path, timeout=_BUSY_SLICE, isolation_level=None, cached_statements=256)
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _explained(path: str, error: sqlite3.Error) -> HeykitError:
    file = Path(path)
    if is_busy(error):
        return Unavailable(f"the SQLite database {path} is locked by another process: end it, or try again")
    if is_no_database(error):
        return DatabaseError(f"{path} is not a SQLite database: give the path of one, or of a new file")
    if file.is_dir():
        return DatabaseError(f"{path} is a directory: give the path of a file in it")
    if not file.parent.is_dir():
        return DatabaseError(f"{path} cannot be created: make the directory {file.parent} first")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        return DatabaseError(f"{path} cannot be written: give this user the right to write it and its directory")
    return DatabaseError(f"the SQLite database {path} cannot be opened: {error}")
