"""Identifiers nobody can guess: 128 random bits, written in hexadecimal."""

from __future__ import annotations

import re
from collections.abc import Callable

_ID = re.compile(r"[0-9a-f]{32}")


def new_id(entropy: Callable[[int], bytes]) -> str:
    """Draw an identifier."""
    return entropy(16).hex()


def is_id(text: str) -> bool:
    """True if the text could be one. Anything else need not reach the database, which may not even take it."""
    return _ID.fullmatch(text) is not None
