"""What Redis and its driver raise, in heykit's words: never an argument, a password or the URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from redis import exceptions

from heykit.errors import HeykitError, Overloaded, RedisError, TimedOut, Unavailable

# The first word of an error is its kind. None of these commands has had an effect.
_FOR_NOW: Final[Mapping[str, str]] = MappingProxyType(
    {
        "LOADING": "is loading its data",
        "BUSY": "is busy with a script",
        "MASTERDOWN": "has lost its primary",
        "READONLY": "is a replica, which takes no writes: it was the primary before, or the URL names the wrong one",
        "CLUSTERDOWN": "belongs to a cluster that is down",
        "TRYAGAIN": "is moving the keys",
        "NOREPLICAS": "has too few replicas to take a write",
        "OOM": "is out of memory: raise maxmemory, or let it evict",
        "MISCONF": "cannot save its data and takes no writes: see to its disk",
    }
)
_CREDENTIALS: Final = frozenset({"NOAUTH", "WRONGPASS"})
# What a server says may hold what it was given, so that only these are shown.
_PLAIN: Final = re.compile(
    "WRONGTYPE Operation against a key holding the wrong kind of value|BUSYGROUP Consumer Group name already exists"
    "|BUSYKEY Target key name already exists|CROSSSLOT Keys in request don't hash to the same slot|NOSCRIPT|NOGROUP"
    "|(hash )?value is not (an integer|a float|a valid float)( or out of range)?|no such key|syntax error"
    "|wrong number of arguments|unknown (command|subcommand)|(index|offset|bit offset|value) is out of range"
    "|increment( or decrement)? would (overflow|produce NaN or Infinity)|invalid expire time|invalid cursor"
    "|min or max (is not a float|not valid string range item)|timeout is (negative|not a float or out of range)"
    "|string exceeds maximum allowed size|DB index is out of range"
)
_SCRIPTS: Final = re.compile(r".*\b(EVAL|EVALSHA|FCALL)(_RO)?")


def refusal_in(reply: object) -> exceptions.ResponseError | None:
    """Find the first error in a reply: a script may give one as a part of it."""
    if isinstance(reply, list):
        return next(filter(None, map(refusal_in, reply)), None)
    return reply if isinstance(reply, exceptions.ResponseError) else None


def refused(error: exceptions.ResponseError, name: str, server: str) -> HeykitError:
    """Translate a server's refusal of the command `name`."""
    kind = kind_of(error)
    is_script = _SCRIPTS.fullmatch(name) is not None
    if kind in _FOR_NOW:
        # A script may say the same of its own accord, after it has changed something.
        kind_of_error = Overloaded if kind == "OOM" else Unavailable  # which it is not: it reads and deletes as ever
        return kind_of_error(f"{server} {_FOR_NOW[kind]}", had_no_effect=not is_script)
    if kind == "NOPERM":
        return RedisError(f"the user of the URL may not run {name} there: see to its permissions (ACL)")
    if is_script:
        return RedisError(f"{server} refused {name}: the script failed ({kind}); run it by hand to see why")
    plain = _PLAIN.match(str(error))
    return RedisError(f"{server} refused {name}: {plain[0] if plain else f'it says {kind}; run it by hand to see why'}")


def kind_of(error: Exception) -> str:
    """Give the first word of a server's error, which the driver takes away from some of its own classes."""
    known = {
        exceptions.BusyLoadingError: "LOADING",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.NoPermissionError: "NOPERM",
        exceptions.NoScriptError: "NOSCRIPT",
        exceptions.AuthenticationError: "WRONGPASS",
        exceptions.AuthenticationWrongNumberOfArgsError: "NOAUTH",
        exceptions.MasterDownError: "MASTERDOWN",
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.TryAgainError: "TRYAGAIN",
    }
    first = str(error).partition(" ")[0]
    return known.get(type(error)) or (first if first.isupper() and first.isalpha() else "ERR")


def lost(error: Exception, server: str, *, sent: bool, late: bool = False) -> HeykitError:
    """Translate what ended an exchange on a connection; `late` where that was its time limit."""
    kind = kind_of(error)
    if isinstance(error, HeykitError):
        return error
    if isinstance(error, exceptions.RedisError) and kind in _FOR_NOW:
        return Unavailable(f"{server} {_FOR_NOW[kind]}", had_no_effect=True)
    if isinstance(error, exceptions.AuthenticationError) or kind in _CREDENTIALS:
        return RedisError(f"{server} asks for a user and password again: see to its users (ACL)")
    effect = "the command may or may not have taken effect" if sent else "nothing was sent"
    if late:
        return TimedOut(f"{server} did not answer within the time limit: {effect}", had_no_effect=not sent)
    return Unavailable(f"the connection to {server} was lost: {effect}", had_no_effect=not sent)


def connecting_failed(error: Exception, server: str) -> HeykitError:
    """Translate what an attempt to connect raised: Unavailable where another attempt may succeed."""
    if isinstance(error.__cause__, exceptions.RedisError):  # the driver packs it up on its way out of a Unix socket
        error = error.__cause__
    kind = kind_of(error)
    if isinstance(error, exceptions.AuthenticationError) or kind in _CREDENTIALS:
        return RedisError(f"{server} refuses the user or the password of the URL: check both")
    if isinstance(error, exceptions.ResponseError) and kind not in _FOR_NOW:
        return RedisError(f"{server} does not take the database number or the user of the URL: check both")
    why = f"it {_FOR_NOW[kind]}" if kind in _FOR_NOW else type(error).__name__
    if isinstance(error, TimeoutError | exceptions.TimeoutError):
        why = "it did not answer in time"
    return Unavailable(
        f"cannot connect to {server} ({why}): start it, or check the host and port of the URL", had_no_effect=True
    )
