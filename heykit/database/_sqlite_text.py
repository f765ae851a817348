"""SQLite's side of one SQL text for both databases: placeholders, scripts of several statements, error messages."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence

from heykit.database._values import storable
from heykit.errors import DatabaseError, HeykitError, IntegrityError, TimedOut, Unavailable

_PLACEHOLDER = re.compile(
    r"""'[^']*' | "[^"]*" | `[^`]*` | \[[^\]]*\] | --[^\n]* | /\*.*?(?:\*/|\Z) | \$(\d+)""",
    re.VERBOSE | re.DOTALL,
)
_COMMENTS = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)


def placeholders(sql: str) -> tuple[str, ...]:
    """Find the numbers of the placeholders, which must be 1 to n, in any order and as often as they like."""
    numbers = {int(found) for found in _PLACEHOLDER.findall(sql) if found}
    missing = sorted(set(range(1, max(numbers, default=0) + 1)) - numbers)
    if missing or 0 in numbers:
        wrong = "there is no $0, the first is $1" if 0 in numbers else f"it has no ${missing[0]}"
        raise DatabaseError(f"the placeholders of a statement are $1, $2 and so on without a gap: {wrong}")
    return tuple(str(number) for number in sorted(numbers))


def bindings(names: tuple[str, ...], args: Sequence[object]) -> dict[str, object]:
    """Bind by name: sqlite3 would bind a tuple by the order of appearance, so that `$2, $1` were silently wrong."""
    if len(names) != len(args):
        raise DatabaseError(f"the statement takes {len(names)} arguments, {len(args)} were given")
    return dict(zip(names, storable(args), strict=True))


def statements(script: str) -> list[str]:
    """Split where SQLite says that a statement is complete, which knows strings, comments and triggers."""
    found: list[str] = []
    start = 0
    for semicolon in re.finditer(";", script):
        if sqlite3.complete_statement(script[start : semicolon.end()]):
            found.append(script[start : semicolon.end()])
            start = semicolon.end()
    return [part for part in [*found, script[start:]] if _COMMENTS.sub("", part).strip("; \t\r\n")]


_DISK = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})


def is_of_the_disk(error: Exception) -> bool:
    return _primary_code(error) in _DISK


def is_busy(error: Exception) -> bool:
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def is_interrupted(error: Exception) -> bool:
    return _primary_code(error) == sqlite3.SQLITE_INTERRUPT


def is_no_database(error: Exception) -> bool:
    return _primary_code(error) == sqlite3.SQLITE_NOTADB


def translated(error: Exception) -> HeykitError:
    """Say in heykit's words what SQLite raised; its own text names columns and constraints, never values."""
    if isinstance(error, HeykitError):
        return error
    if isinstance(error, sqlite3.Error | sqlite3.Warning):
        return _refused(error)
    if isinstance(error, OverflowError):
        return DatabaseError("an integer is too large for SQLite, which stores 64 bits")
    return DatabaseError(f"the statement failed: {type(error).__name__}")


def _refused(error: sqlite3.Error | sqlite3.Warning) -> HeykitError:
    code = _primary_code(error)
    if code == sqlite3.SQLITE_BUSY:
        return Unavailable("another process is writing to the SQLite database: try again")
    if code in _DISK:
        return Unavailable(
            f"the disk refuses what SQLite writes ({error}): free some of it, or give the right to write"
        )
    if code == sqlite3.SQLITE_INTERRUPT:
        return TimedOut("the statement was interrupted")
    kind = IntegrityError if isinstance(error, sqlite3.IntegrityError) else DatabaseError
    return kind(f"SQLite refused the statement: {error}")


def _primary_code(error: Exception) -> int:
    # Extended result codes keep the primary one in their lowest byte; Python's own complaints have none.
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
