"""What PostgreSQL and its driver raise, in heykit's words: never a value, a password or the URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qs

import asyncpg

from heykit._urls import shown_host
from heykit.errors import DatabaseError, HeykitError, IntegrityError, TimedOut, Unavailable

_AWAY = "{server} is away or full (SQLSTATE {state}): the statement may or may not have taken effect"
_NOT_SENT = "the connection to {server} was lost before the statement was sent"
_AGAIN = "the transaction met another one and was rolled back: run it again from its start"
# PostgreSQL manual, appendix A: the first two characters of a SQLSTATE are its class.
_MEANINGS: Mapping[str, tuple[type[HeykitError], str]] = MappingProxyType(
    {
        "08": (Unavailable, _AWAY),  # connection exception
        "53": (Unavailable, _AWAY),  # insufficient resources
        "57P01": (Unavailable, _AWAY),  # shut down by an operator
        "57P02": (Unavailable, _AWAY),  # shut down by a crash
        "57P03": (Unavailable, _AWAY),  # starting up
        "57P05": (Unavailable, _AWAY),  # idle for too long
        "40001": (Unavailable, _AGAIN),  # serialization failure
        "40P01": (Unavailable, _AGAIN),  # deadlock
        "57014": (
            TimedOut,
            "PostgreSQL cancelled the statement: give it more time, or less to do",
        ),
        "42P02": (DatabaseError, "the statement has a placeholder for which no argument was given"),
        # The server's text for a data exception quotes the value.
        "22": (DatabaseError, "a value does not fit where the statement uses it (SQLSTATE {state})"),
    },
)
_REFUSED_AT_CONNECTING: Mapping[str, str] = MappingProxyType(
    {
        "28000": "refuses the user of the URL: check its name and what the server allows it",
        "28P01": "refuses the user or the password of the URL: check both",
        "3D000": "has no database of the name in the URL: create it, or check the name",
    },
)
_NO_EFFECT = frozenset({"40001", "40P01", "57014"})  # what PostgreSQL has rolled back
_WRONG_TYPE = re.compile(r"query argument (\$\d+)(?:.*\((expected [\w. ]+, got [\w. ]+)\)$)?", re.DOTALL)


def translated(error: Exception, server: str) -> HeykitError:
    """Translate what a statement raised. The text of a server's error is its primary message; details hold values."""
    if isinstance(error, HeykitError):
        return error
    if isinstance(error, TimeoutError):
        return TimedOut(
            f"{server} did not answer within the time limit: the statement may or may not have taken effect"
        )
    if isinstance(error, asyncpg.PostgresError):
        return _by_state(error, error.sqlstate or "", server)
    if isinstance(error, asyncpg.InterfaceError) and "closed" not in str(error):
        return _by_driver(str(error))
    return _by_connection(error, server)


def connecting_failed(error: Exception, server: str) -> HeykitError:
    """Translate what an attempt to connect raised: Unavailable where another attempt may succeed."""
    if isinstance(error, asyncpg.ClientConfigurationError | ValueError):
        return DatabaseError("the PostgreSQL URL cannot be read: write postgresql://user:password@host:5432/database")
    why = "it did not answer in time" if isinstance(error, TimeoutError) else type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        why = f"SQLSTATE {error.sqlstate}"
        if advice := _REFUSED_AT_CONNECTING.get(error.sqlstate or ""):
            return DatabaseError(f"{server} {advice}")
    return Unavailable(
        f"cannot connect to {server} ({why}): start it, or check the host and port of the URL", had_no_effect=True
    )


def server_of(url: str) -> str:
    """Name the server of a URL without anything that might be a part of its credentials."""
    host = shown_host(url)
    if host is None:
        return "the PostgreSQL server of the URL"
    return f"the PostgreSQL server at {host or parse_qs(url.partition('?')[2]).get('host', ['localhost'])[0]}"


def _by_state(error: asyncpg.PostgresError, state: str, server: str) -> HeykitError:
    text: str = error.args[0]
    if text.startswith("invalid input for query argument"):  # the driver's own, before anything is sent
        return _by_driver(text)
    meaning = _MEANINGS.get(state) or _MEANINGS.get(state[:2])
    if meaning is not None:
        found = meaning[0](meaning[1].format(server=server, state=state))
        found.had_no_effect = state in _NO_EFFECT
        return found
    kind = IntegrityError if state[:2] == "23" else DatabaseError
    return kind(f"PostgreSQL refused the statement: {text} (SQLSTATE {state})")


def _by_connection(error: Exception, server: str) -> HeykitError:
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError):
        # The driver looks at its own state before it sends anything.
        return Unavailable(_NOT_SENT.format(server=server), had_no_effect=True)
    if isinstance(error, OSError):
        return Unavailable(f"the connection to {server} was lost: the statement may or may not have taken effect")
    return DatabaseError(f"the statement failed: {type(error).__name__}")


def _by_driver(text: str) -> DatabaseError:
    text = text.partition("\n")[0]
    if found := _WRONG_TYPE.search(text):
        return DatabaseError(
            f"the argument {found[1]} does not fit: {found[2] or 'its type or size is not the one wanted there'}"
        )
    if text.startswith("the server expects"):
        return DatabaseError(f"wrong number of arguments: {text}")
    return DatabaseError("the driver refused the statement")
