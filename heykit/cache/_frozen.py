"""Which values nobody can change, so that all may hold the same one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Final
from uuid import UUID

_PLAIN = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, date, datetime, time, timedelta, timezone, Decimal, Fraction,
        UUID, range, type(...), type(NotImplemented),
    }
)  # fmt: skip


_UNSET: Final = object()
_MOST: Final = 10_000  # of what a value holds is looked at


def is_frozen(value: object) -> bool:
    """Tell whether a value and all it holds can certainly not be changed; what is not known is taken to be."""
    left = [value]
    for _ in range(_MOST):
        if not left:
            return True
        each = left.pop()
        kind = type(each)
        if kind in _PLAIN or isinstance(each, Enum | PurePath | type):
            continue
        if isinstance(each, tuple | frozenset) and kind in {tuple, frozenset}:
            left += each
        elif is_dataclass(each) and getattr(vars(kind).get("__dataclass_params__"), "frozen", False):
            left += [getattr(each, field.name, _UNSET) for field in fields(each)]
        else:
            return False
    return False
