"""How a column's value becomes what a field is declared as, so that one dataclass reads from both databases.

SQLite has neither bool nor datetime, PostgreSQL sums integers to Decimal: a value is converted where nothing of it is
lost, and refused where it does not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, NamedTuple, NewType, Union, get_args, get_origin
from uuid import UUID

Read = Callable[[object], object]


class Reader(NamedTuple):
    """`read` converts, or raises ValueError; a value whose type is `exact` needs no reading."""

    name: str
    exact: type[object] | None
    read: Read


def reader(hint: object) -> Reader:
    """Read values for a field declared as `hint`."""
    if isinstance(hint, NewType):
        return reader(hint.__supertype__)
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _union(hint)
    if origin is Literal:
        return Reader(str(hint), None, _one_of(get_args(hint)))
    declared = hint if origin is None else origin
    if not isinstance(declared, type) or declared is object or hint is Any:
        return Reader(str(hint), None, _as_it_is)
    return _plain(declared)


def _plain(declared: type[object]) -> Reader:
    name = declared.__name__
    if declared in _READ:
        return Reader(name, _EXACT.get(declared), _READ[declared])
    if issubclass(declared, Enum):
        return Reader(name, None, declared)
    for base in (str, int, float, bytes):
        if issubclass(declared, base):
            return Reader(name, declared, _subclass(declared, _READ[base]))
    return Reader(name, declared, _instance_of(declared))


def _union(hint: object) -> Reader:
    members = [member for member in get_args(hint) if member is not NoneType]
    optional = len(members) < len(get_args(hint))
    inner = reader(members[0]) if len(members) == 1 else Reader(str(hint), None, _any_of([reader(m) for m in members]))
    name = f"{inner.name} | None" if optional and len(members) == 1 else inner.name
    return Reader(name, inner.exact, _or_none(inner.read) if optional else inner.read)


def _or_none(read: Read) -> Read:
    return lambda value: None if value is None else read(value)


def _any_of(readers: list[Reader]) -> Read:
    def read(value: object) -> object:
        for member in readers:
            if type(value) is member.exact:
                return value
        for member in readers:
            try:
                return member.read(value)
            except (ValueError, TypeError, ArithmeticError):
                continue
        raise ValueError

    return read


def _one_of(values: tuple[object, ...]) -> Read:
    def read(value: object) -> object:
        if value not in values:
            raise ValueError
        return value

    return read


def _subclass(declared: Callable[[Any], object], read: Read) -> Read:
    return lambda value: declared(read(value))


def _instance_of(declared: type[object]) -> Read:
    def read(value: object) -> object:
        if not isinstance(value, declared):
            raise TypeError
        return value

    return read


def _as_it_is(value: object) -> object:
    return value


def _bool(value: object) -> bool:
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise ValueError


def _int(value: object) -> int:
    if isinstance(value, int) or (isinstance(value, Decimal) and value == value.to_integral_value()):
        return int(value)
    raise ValueError


def _float(value: object) -> float:
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return float(value)
    raise ValueError


def _datetime(value: object) -> datetime:
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(instant, datetime):
        raise TypeError
    # CURRENT_TIMESTAMP of SQLite and TIMESTAMP of PostgreSQL name no zone; both are UTC here.
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def _date(value: object) -> date:
    day = date.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(day, date) or isinstance(day, datetime):
        raise TypeError
    return day


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal | int | str):
        return Decimal(value)
    raise ValueError


def _uuid(value: object) -> UUID:
    return value if isinstance(value, UUID) else UUID(value) if isinstance(value, str) else _refuse()


def _refuse() -> UUID:
    raise TypeError


_READ: Mapping[type[object], Read] = MappingProxyType(
    {
        bool: _bool,
        int: _int,
        float: _float,
        str: _instance_of(str),
        bytes: _instance_of(bytes),
        datetime: _datetime,
        date: _date,
        Decimal: _decimal,
        UUID: _uuid,
    },
)
# A datetime is always read, since one without a zone has the right type already.
_EXACT: Mapping[type[object], type[object]] = MappingProxyType({kind: kind for kind in _READ if kind is not datetime})
