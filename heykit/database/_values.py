"""What may be given as an argument, and what each database is given for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType
from uuid import UUID

from heykit.errors import DatabaseError


def plain(args: Sequence[object]) -> list[object]:
    """Give an enum's value for it and refuse a datetime without a zone; PostgreSQL takes the rest as it is."""
    return [_plain(value) for value in args]


def storable(args: Sequence[object]) -> list[object]:
    """Give what SQLite can store for each argument."""
    return [value if type(value) in _STORED_AS_THEY_ARE else _storable(value) for value in args]


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, datetime) and value.tzinfo is None:
        raise DatabaseError("a datetime without a time zone is ambiguous: give an aware one, such as datetime.now(UTC)")
    return value


def _storable(value: object) -> object:
    value = _plain(value)
    for kind, store in _STORE.items():
        if isinstance(value, kind):
            return store(value)
    return value


def _instant(value: datetime) -> str:
    """Write UTC in one width, so that text sorts as time does, CURRENT_TIMESTAMP's text too."""
    try:
        return value.astimezone(UTC).isoformat(sep=" ", timespec="microseconds")
    except OverflowError:
        raise DatabaseError("a datetime lies outside the years 1 to 9999 in UTC") from None


def _number(value: float) -> float:
    if math.isnan(value):
        raise DatabaseError("SQLite would store NaN as NULL: give None where there is no number")
    return value


def _no_decimal(value: Decimal) -> object:
    raise DatabaseError(
        "SQLite has no exact decimal numbers: store a whole number of the smallest unit, such as cents, or text"
    )


_STORED_AS_THEY_ARE = frozenset({type(None), str, int, bytes, bool})
# A datetime is a date too, so it stands before it.
_STORE: Mapping[type[object], Callable[..., object]] = MappingProxyType(
    {float: _number, datetime: _instant, date: date.isoformat, UUID: str, Decimal: _no_decimal},
)
