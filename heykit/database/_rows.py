"""Rows as the caller wants them: by column name, or as dataclasses whose fields are checked and converted.

A dataclass is compared with the columns once for each statement. After that a row whose values already have exactly
the types of its fields costs one comparison; any other is read field by field, and a value that does not fit names
its column, never itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple, TypeVar, cast, get_type_hints

from heykit.database._fields import Reader, reader
from heykit.database.protocol import Row
from heykit.errors import DatabaseError

T = TypeVar("T")
Values = tuple[object, ...]


class Table(NamedTuple):
    """What a statement gave: the columns' names, and the rows."""

    columns: tuple[str, ...]
    rows: Sequence[Values]


class _Row:
    __slots__ = ("_positions", "_values")

    def __init__(self, positions: dict[str, int], values: Values) -> None:
        self._positions = positions
        self._values = values

    def __getitem__(self, column: str, /) -> object:
        return self._values[self._positions[column]]

    def keys(self) -> Iterable[str]:
        return self._positions.keys()

    def __repr__(self) -> str:
        return f"<row of {', '.join(self._positions)}>"


def rows_of(table: Table) -> list[Row]:
    positions = {column: position for position, column in enumerate(table.columns)}
    return [_Row(positions, values) for values in table.rows]


class Builders:
    """Builds dataclasses from tables, and remembers how for the statements seen lately."""

    def __init__(self) -> None:
        self._builder = lru_cache(maxsize=512)(_builder)

    def build(self, table: Table, into: type[T]) -> list[T]:
        if not table.rows:
            return []
        build = cast("Callable[[Values], T]", self._builder(cast("Hashable", into), table.columns))
        return [build(values) for values in table.rows]


def _builder(into: type[object], columns: tuple[str, ...]) -> Callable[[Values], object]:
    fields = _fields(into, columns)
    readers = tuple(read for _, read in fields)
    exact = tuple(read.exact for read in readers)
    pick = _picker([columns.index(field.name) for field, _ in fields])
    make = _maker(into, [field for field, _ in fields])

    def build(values: Values) -> object:
        picked = pick(values)
        if tuple(map(type, picked)) != exact:
            picked = tuple(
                _read(into, field.name, read, value) for (field, read), value in zip(fields, picked, strict=True)
            )
        return make(picked)

    return build


def _read(into: type[object], column: str, read: Reader, value: object) -> object:
    try:
        return read.read(value)
    except (ValueError, TypeError, ArithmeticError):
        found = "NULL" if value is None else f"a value of type {type(value).__name__} that does not fit"
    message = f"the column {column!r} holds {found}: {into.__name__}.{column} is declared {read.name}"
    raise DatabaseError(message)


def _fields(into: type[object], columns: tuple[str, ...]) -> list[tuple[dataclasses.Field[object], Reader]]:
    """Pair the fields that have a column with what reads them; a field without one must have a default."""
    wanted = _given_at_construction(into)
    missing = [field.name for field in wanted if field.name not in columns and not _has_default(field)]
    if missing:
        raise DatabaseError(
            f"{into.__name__} needs the column{'s' * (len(missing) > 1)} {', '.join(missing)}: "
            f"the statement gives {', '.join(columns)}",
        )
    hints = _hints(into)
    return [(field, reader(hints[field.name])) for field in wanted if field.name in columns]


def _given_at_construction(into: type[object]) -> list[dataclasses.Field[object]]:
    if not dataclasses.is_dataclass(into):
        raise TypeError(f"into= takes a dataclass, not {into!r}")
    return [field for field in dataclasses.fields(into) if field.init]


def _has_default(field: dataclasses.Field[object]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _hints(into: type[object]) -> dict[str, object]:
    try:
        return get_type_hints(into)
    except NameError as error:
        raise TypeError(
            f"{into.__name__}: {error}: what a row's fields are declared as must be imported at run time"
        ) from None


def _picker(positions: list[int]) -> Callable[[Values], Values]:
    if len(positions) > 1:
        return itemgetter(*positions)
    return lambda values: tuple(values[position] for position in positions)


def _maker(into: type[object], fields: list[dataclasses.Field[object]]) -> Callable[[Values], object]:
    """Call the dataclass by position where its fields allow it, which is the faster way."""
    names = [field.name for field in fields]
    positional = [field.name for field in _given_at_construction(into) if not field.kw_only]
    if names == positional[: len(names)]:
        return lambda values: into(*values)
    return lambda values: into(**dict(zip(names, values, strict=True)))
