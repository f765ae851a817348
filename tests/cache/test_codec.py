from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from random import Random
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from heykit.cache import bytes_codec, json_codec, optional


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Place:
    name: str
    at: tuple[float, float]


@dataclass(frozen=True)
class Everything:
    number: int
    ratio: float
    text: str
    raw: bytes
    moment: datetime
    span: timedelta
    price: Decimal
    id: UUID
    colour: Colour
    tags: frozenset[str]
    place: Place | None
    by_name: dict[str, int] = field(default_factory=dict)


class Model(BaseModel):
    number: int
    raw: bytes = b""


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
anything = st.builds(
    Everything,
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False),
    texts,
    st.binary(max_size=20),
    st.datetimes(timezones=st.just(UTC)),
    st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
    st.decimals(allow_nan=False, allow_infinity=False),
    st.uuids(),
    st.sampled_from(Colour),
    st.frozensets(texts, max_size=3),
    st.none() | st.builds(Place, texts, st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False))),
    st.dictionaries(texts, st.integers(), max_size=3),
)


@given(anything, st.none() | st.integers(0, 300))
def test_a_value_is_read_as_it_was_written(value: Everything, compress_above: int | None) -> None:
    codec = json_codec(Everything, compress_above=compress_above)

    assert codec.decode(codec.encode(value)) == value


@given(st.binary(max_size=3000), st.none() | st.integers(0, 300))
def test_bytes_are_what_they_were(value: bytes, compress_above: int | None) -> None:
    codec = bytes_codec(compress_above=compress_above)

    assert codec.decode(codec.encode(value)) == value


def test_models_lists_and_numbers_are_types_too() -> None:
    assert json_codec(Model).decode(json_codec(Model).encode(Model(number=1))) == Model(number=1)
    assert json_codec(list[float]).decode(json_codec(list[float]).encode([math.inf, 1.5])) == [math.inf, 1.5]
    nan = json_codec(float).decode(json_codec(float).encode(math.nan))
    assert math.isnan(nan)


@given(st.none() | st.integers())
def test_none_is_a_value_of_what_is_optional(value: int | None) -> None:
    codec = optional(json_codec(int))

    assert codec.decode(codec.encode(value)) == value


def test_only_what_is_above_the_threshold_is_compressed_and_only_where_it_gets_smaller() -> None:
    codec = bytes_codec(compress_above=1000)

    assert len(codec.encode(b"a" * 1000)) == 1001
    assert len(codec.encode(b"a" * 1001)) < 100
    assert len(codec.encode(Random(1).randbytes(2000))) == 2001


@given(st.binary(max_size=200))
def test_bytes_that_are_no_value_are_refused(data: bytes) -> None:
    for codec in (json_codec(Everything), json_codec(Everything, compress_above=0)):
        with pytest.raises(ValueError, match=r"."):
            codec.decode(data)


@pytest.mark.parametrize(
    "data", [b'=["1"]', b"=[1.5]", b"=[true]", b"=[null]", b"=[1,2]", b"=1", b"=[1]x", b"", b"=", b"0"]
)
def test_json_of_another_type_is_not_bent_into_this_one(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        json_codec(int).decode(data)


def test_a_value_of_another_type_is_not_written() -> None:
    with pytest.raises(ValueError, match="int"):
        json_codec(int).encode(cast("int", "text"))


def test_a_bomb_is_refused_before_it_fills_the_memory() -> None:
    bomb = b"z" + zlib.compress(bytes(200 * 1024 * 1024), 9)
    codec = bytes_codec(max_size=1024 * 1024)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="more than 1,048,576 bytes"):
            codec.decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 4 * 1024 * 1024
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[:1] + b"\0" + data[1:]]
)
def test_compressed_data_that_is_cut_or_goes_on_or_is_none_is_refused(change: object) -> None:
    codec = bytes_codec(compress_above=0)
    data = codec.encode(b"a" * 100)
    assert callable(change)
    with pytest.raises(ValueError, match="compressed data"):
        codec.decode(change(data))


def test_a_value_above_the_most_is_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="takes 11 bytes, and 10 is the most"):
        bytes_codec(max_size=10).encode(b"12345678901")
    with pytest.raises(ValueError, match="not a value of this codec"):
        bytes_codec(max_size=10).decode(bytes_codec().encode(b"12345678901"))


@pytest.mark.parametrize("limits", [{"max_size": 0}, {"compress_above": -1}])
def test_limits_that_make_no_sense_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="max_size is 1 byte or more"):
        bytes_codec(**limits)


def test_importing_the_cache_loads_neither_pydantic_nor_redis() -> None:
    code = "import sys, heykit.cache; print(sorted({'pydantic', 'redis', 'fastapi'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout == "[]\n"
