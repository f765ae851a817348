"""How a command is written, and which can be sent on a connection that is shared: pure functions over values.

Redis serialization protocol, "Sending commands to a Redis server": an array of bulk strings, each with its length.
"""

from __future__ import annotations

import re
from typing import Final

from heykit.errors import RedisError
from heykit.resources.protocol import Argument, Command

# What these leave behind stays in the connection, for whoever uses it next; or they change how it answers.
_CHANGE_THE_CONNECTION: Final = re.compile(
    "AUTH|ASKING|DISCARD|EXEC|HELLO|MONITOR|MULTI|QUIT|READONLY|READWRITE|RESET|SELECT|P?SYNC|UNWATCH|WATCH"
    "|[PS]?(UN)?SUBSCRIBE|CLIENT (CACHING|CAPA|IMPORT-SOURCE|NO-EVICT|NO-TOUCH|REPLY|SETNAME|TRACKING)|SCRIPT DEBUG"
)
_ADVICE: Final = "use subscribe(), execute_many(atomic=True) or EVAL instead, and the URL for the database and the user"


def packed(command: Command) -> bytes:
    """Write a command. Raises RedisError for one that cannot be sent."""
    if not command or isinstance(command, str | bytes):
        raise RedisError("a command is a sequence of words, of which the first is its name")
    parts = [b"*%d\r\n" % len(command)]
    for argument in command:
        value = _encoded(argument)
        parts.append(b"$%d\r\n%b\r\n" % (len(value), value))
    return b"".join(parts)


def check_shared(command: Command) -> None:
    """Raise RedisError for a command that changes its connection: that one is shared."""
    if isinstance(command, str | bytes):
        raise RedisError("a command is a sequence of words, such as ('GET', 'name')")
    name = " ".join(map(_upper, command[:2])) if name_of(command) in ("CLIENT", "SCRIPT") else name_of(command)
    if _CHANGE_THE_CONNECTION.fullmatch(name):
        raise RedisError(f"{name} changes the connection, which others use too: {_ADVICE}")


def name_of(command: Command) -> str:
    """Name a command for a message: its first word."""
    return _upper(command[0]) if command else ""


def _upper(word: Argument) -> str:
    text = _encoded(word).decode("ascii", "replace")  # what is sent, whatever a subclass of str shows
    return text.upper() if text.replace(".", "").replace("-", "").isalpha() and len(text) < 40 else "the command"


def _encoded(argument: object) -> bytes:
    if isinstance(argument, bytes):
        return argument
    if isinstance(argument, str):
        try:
            return argument.encode()
        except UnicodeEncodeError:
            raise RedisError("an argument is no valid Unicode text: give bytes") from None
    if type(argument) is int or type(argument) is float:
        return repr(argument).encode()
    raise RedisError(f"an argument is str, bytes, int or float, not {type(argument).__name__}: convert it first")
