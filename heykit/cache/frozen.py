"""Which values nobody can change, so that all may hold the same one."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from uuid import UUID

_PLAIN = frozenset(
    {
        type(None), bool, int, float, complex, str, bytes, date, datetime, time, timedelta, timezone, Decimal, Fraction,
        UUID, range, type(...), type(NotImplemented),
    }
)  # fmt: skip


_UNSET = object()


def is_frozen(value: object) -> bool:
    """Tell whether a value and all it holds can certainly not be changed; what is not known is taken to be."""
    kind = type(value)
    if kind in _PLAIN or isinstance(value, Enum | PurePath | type):
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_frozen, value))  # type: ignore[call-overload]
    if is_dataclass(value) and getattr(vars(kind).get("__dataclass_params__"), "frozen", False):
        return all(is_frozen(getattr(value, field.name, _UNSET)) for field in fields(value))
    return False
