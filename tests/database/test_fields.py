"""How a column's value becomes what its field is declared as."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest

from heykit.database._fields import reader
from heykit.database._rows import Builders, Table
from heykit.errors import DatabaseError

UserId = NewType("UserId", int)


class Title(str):
    __slots__ = ()


class Level(Enum):
    LOW = 1


@pytest.mark.parametrize(
    ("hint", "value", "read"),
    [
        (bool, 1, True),
        (int, Decimal(3), 3),
        (float, Decimal("1.5"), 1.5),
        (float, 2, 2.0),
        (Decimal, "1.10", Decimal("1.10")),
        (datetime, "2026-11-24 10:20:30", datetime(2026, 11, 24, 10, 20, 30, tzinfo=UTC)),
        (datetime, "2026-11-24T12:20:30+02:00", datetime(2026, 11, 24, 10, 20, 30, tzinfo=UTC)),
        (date, "2026-11-24", date(2026, 11, 24)),
        (UUID, str(UUID(int=7)), UUID(int=7)),
        (Level, 1, Level.LOW),
        (Title, "a", Title("a")),
        (UserId, 7, 7),
        (bool | None, None, None),
        (bool | None, 0, False),
        (int | str, "a", "a"),
        (datetime | str | None, None, None),
        (Literal["a", "b"], "b", "b"),
        (list[int], [1], [1]),
        (Any, "anything", "anything"),
        (object, 1, 1),
    ],
)
def test_a_value_that_fits(hint: object, value: object, read: object) -> None:
    """It comes out as declared, of the same type."""
    found = reader(hint).read(value)
    assert (found, type(found)) == (read, type(read))


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (bool, 2),
        (bool, "true"),
        (int, Decimal("1.5")),
        (int, "1"),
        (float, "1"),
        (float, True),
        (str, 1),
        (str, None),
        (bytes, "a"),
        (datetime, 0),
        (datetime, "yesterday"),
        (date, datetime(2026, 11, 24, tzinfo=UTC)),
        (Decimal, 0.1),
        (Decimal, "much"),
        (UUID, 7),
        (UUID, "7"),
        (Level, 2),
        (int | bool, "a"),
        (Literal["a"], "b"),
        (list[int], "[1]"),
    ],
)
def test_a_value_that_does_not_fit(hint: object, value: object) -> None:
    """It is refused rather than bent."""
    with pytest.raises((ValueError, TypeError, ArithmeticError)):
        reader(hint).read(value)


@dataclass(frozen=True)
class Video:
    id: Annotated[UserId, "documented"]
    title: str
    done: bool = field(default=False, kw_only=True)
    tags: list[str] = field(default_factory=list)
    length: int = field(init=False, default=0)


@pytest.mark.parametrize(
    ("columns", "values", "video"),
    [
        (("id", "title"), (1, "a"), Video(UserId(1), "a")),
        (("title", "extra", "done", "id"), ("a", 0, 1, 1), Video(UserId(1), "a", done=True)),
        (("id", "tags", "title"), (1, ["x"], "a"), Video(UserId(1), "a", ["x"])),
        (("id", "title", "length"), (1, "a", 9), Video(UserId(1), "a")),
    ],
)
def test_columns_in_any_order_and_number(columns: tuple[str, ...], values: tuple[object, ...], video: Video) -> None:
    """Fields are found by name; one without a column takes its default, one that is not given is left alone."""
    assert Builders().build(Table(columns, [values]), Video) == [video]


def test_the_error_of_a_value_names_the_column_and_not_the_value() -> None:
    """And what the field is declared as."""
    with pytest.raises(DatabaseError, match=r"'id' holds a value of type str .* Video.id is declared int") as caught:
        Builders().build(Table(("id", "title"), [("secret", "a")]), Video)
    assert "secret" not in str(caught.value)


def test_annotations_that_cannot_be_resolved() -> None:
    """A type known to the type checker only is a mistake that says so."""

    @dataclass
    class Odd:
        id: Nowhere  # type: ignore[name-defined]  # noqa: F821 - the point

    with pytest.raises(TypeError, match="'Nowhere' is not defined"):
        Builders().build(Table(("id",), [(1,)]), Odd)
