"""What a function is called in a message."""

from __future__ import annotations

import functools
from collections.abc import Callable


def name_of(function: Callable[..., object]) -> str:
    """Name it without its `repr`, which shows the arguments of a partial."""
    plain: object = function
    while isinstance(plain, functools.partial):
        plain = plain.func
    return str(getattr(plain, "__qualname__", type(plain).__qualname__))
