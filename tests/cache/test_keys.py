from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from functools import partial
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.cache._keys import call_keys


class Color(Enum):
    RED = 1
    BLUE = 2


class Shade(Enum):
    RED = 1


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    A = "a"


class Right(Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Page:
    after: object
    size: object = 10


@dataclass(frozen=True)
class Slice:
    after: object
    size: object = 10


@dataclass
class Loose:
    after: int


class Anywhere(tzinfo):
    def utcoffset(self, moment: datetime | None, /) -> timedelta:
        return timedelta()

    dst = utcoffset

    def tzname(self, moment: datetime | None, /) -> str:
        return "anywhere"


def one(a: object) -> None: ...
def two(a: object, b: object = 2) -> None: ...
def many(a: object, *rest: object, flag: object = None, **more: object) -> None: ...


key = call_keys(one)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 2),
    st.floats(),
    st.sampled_from([-1.0, -0.0, 0.0, 1.0]),
    st.text(),
    st.text("ab,()'\"\\=:{}[] 1", max_size=6),
    st.binary(max_size=4),
    st.sampled_from([*Color, *Shade, *Level, *Word, *Right, Right.READ | Right.WRITE]),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=st.none() | st.sampled_from([UTC, timezone(timedelta(hours=1)), ZoneInfo("Europe/Berlin")])),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal("NaN")]),
    st.sampled_from([UUID(int=1), date(2024, 1, 1), datetime.combine(date(2024, 1, 1), time())]),
)
pieces = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Page, inner, inner),
        st.builds(Slice, inner, inner),
    ),
    max_leaves=6,
)


def plain(value: object) -> object:
    """A value in a form that is equal to another's exactly when type and value are the same at every depth."""
    kind = type(value)
    if isinstance(value, tuple):
        return kind, tuple(map(plain, value))
    if isinstance(value, frozenset):
        return kind, frozenset(map(plain, value))
    if isinstance(value, Page | Slice):
        return kind, plain(value.after), plain(value.size)
    if isinstance(value, datetime):
        return kind, value.replace(tzinfo=None), value.fold, type(value.tzinfo), str(value.tzinfo)
    # As text, since -0.0 equals 0.0, NaN not even itself, and 1.0 equals 1.00 as decimals.
    return kind, str(value) if isinstance(value, float | Decimal | Enum) else value


@given(pieces, pieces)
def test_two_arguments_share_a_key_only_if_they_are_the_same_by_type_and_value(first: object, second: object) -> None:
    assert (key(first) == key(second)) == (plain(first) == plain(second))


@given(st.lists(leaves, min_size=1, max_size=3), st.lists(leaves, min_size=1, max_size=3))
def test_no_argument_runs_into_the_next(first: list[object], second: list[object]) -> None:
    key = call_keys(many)

    assert (key(*first) == key(*second)) == (plain(tuple(first)) == plain(tuple(second)))


@given(
    st.dictionaries(st.text("ab=:,'{} ", max_size=3), leaves), st.dictionaries(st.text("ab=:,'{} ", max_size=3), leaves)
)
def test_no_keyword_runs_into_the_next(first: dict[str, object], second: dict[str, object]) -> None:
    def function(**more: object) -> None: ...

    key = call_keys(function)

    same = {name: plain(value) for name, value in first.items()} == {
        name: plain(value) for name, value in second.items()
    }
    assert (key(**first) == key(**second)) == same


def test_one_true_one_point_zero_and_the_text_one_are_four_keys() -> None:
    assert len({key(1), key(True), key(1.0), key("1"), key(Level.LOW), key(b"1")}) == 6


def test_the_ways_to_write_one_call_are_one_key() -> None:
    assert len({call_keys(two)(1), call_keys(two)(a=1), call_keys(two)(1, 2), call_keys(two)(b=2, a=1)}) == 1
    assert call_keys(many)(1, x=1, y=2) == call_keys(many)(1, y=2, x=1, flag=None)


def test_a_key_is_readable_and_begins_with_the_functions_module_and_name() -> None:
    assert call_keys(two)("x") == f"{__name__}.two('x', 2)"


def test_a_long_argument_makes_no_long_key_and_still_its_own() -> None:
    first, second = key("x" * 1_000_000), key("x" * 999_999 + "y")

    assert first != second
    assert len(first) < 200
    assert first.startswith(f"{__name__}.one#")


def test_a_number_too_long_to_write_in_decimal_is_a_key() -> None:
    assert key(10**5000) != key(10**5000 + 1)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ([1], "list"),
        ({"a": 1}, "dict"),
        (object(), "object"),
        ((1, [2]), "list"),
        (Page([1]), "list"),
        (Loose(1), "Loose"),
        (Page, "type"),
        (type("Text", (str,), {})("a"), "Text"),
        (datetime(2024, 1, 1, tzinfo=Anywhere()), "datetime with a Anywhere"),
        (time(1, tzinfo=Anywhere()), "time with a Anywhere"),
    ],
)
def test_what_makes_no_key_is_refused_and_the_parameter_named(value: object, named: str) -> None:
    with pytest.raises(TypeError, match=rf"one: `a` holds a {named}, .* give `key=`"):
        key(value)


def test_arguments_that_do_not_fit_are_refused_as_by_the_function() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        call_keys(two)()  # type: ignore[call-arg]


class Unbound:
    def get(self, id: int) -> None: ...


@pytest.mark.parametrize("function", [lambda: None, partial(one, 1), Unbound.get])
def test_a_function_without_a_name_of_its_own_or_unbound_is_refused(function: Callable[..., object]) -> None:
    with pytest.raises(TypeError, match="key="):
        call_keys(function)


def test_a_bound_method_needs_no_self_in_its_key() -> None:
    assert call_keys(Unbound().get)(1) == f"{__name__}.Unbound.get(1)"
