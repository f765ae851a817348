"""Strategies for settings classes with values of them."""

from __future__ import annotations

import json
import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, make_dataclass
from datetime import timedelta
from enum import Enum
from pathlib import PurePosixPath
from typing import Literal

from hypothesis import strategies as st

from heykit.config import Secret


class Colour(Enum):
    red = "r"
    one = 1


@dataclass(frozen=True)
class Drawn:
    """A type, a value of it, and the value as JSON's types."""

    hint: object
    value: object
    plain: object


def drawn(hint: object, values: st.SearchStrategy[object]) -> st.SearchStrategy[Drawn]:
    return values.map(lambda value: Drawn(hint, value, plain(value)))


def plain(value: object) -> object:  # noqa: PLR0911 - one line for each type
    match value:
        case Secret():
            return plain(value.reveal())
        case Enum():
            return value.value
        case timedelta():
            return f"{value // timedelta(microseconds=1)}us"
        case PurePosixPath():
            return str(value)
        case list() | tuple():
            return [plain(item) for item in value]
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


NAMES = st.from_regex(r"[a-z][a-z0-9]{0,6}", fullmatch=True).filter(lambda name: not keyword.iskeyword(name))


def leaves() -> st.SearchStrategy[Drawn]:
    texts = st.text(max_size=12)
    numbers = st.integers()
    return st.one_of(
        drawn(str, texts),
        drawn(int, numbers),
        drawn(float, st.floats(allow_nan=False)),
        drawn(bool, st.booleans()),
        drawn(timedelta, st.timedeltas()),
        drawn(Colour, st.sampled_from(Colour)),
        drawn(Literal["a", 1, True], st.sampled_from(["a", 1, True])),
        drawn(Secret[str], texts.map(Secret)),
        drawn(list[int], st.lists(numbers, max_size=3)),
        drawn(tuple[str, ...], st.lists(texts, max_size=3).map(tuple)),
        drawn(tuple[str, int], st.tuples(texts, numbers)),
        drawn(dict[str, bool], st.dictionaries(texts, st.booleans(), max_size=3)),
        drawn(list[dict[str, list[int]]], st.lists(st.dictionaries(texts, st.lists(numbers, max_size=2), max_size=2))),
        drawn(int | None, numbers),
        drawn(bool | int | str, st.one_of(st.booleans(), numbers.filter(lambda number: number not in (0, 1)))),
    )


def optionals() -> st.SearchStrategy[Drawn]:
    return st.one_of(drawn(int | None, st.none()), drawn(str | None, st.none()))


def settings(leaf: st.SearchStrategy[Drawn]) -> st.SearchStrategy[Drawn]:
    return st.recursive(
        st.dictionaries(NAMES, leaf, min_size=1, max_size=4).map(_section),
        lambda inner: st.dictionaries(NAMES, st.one_of(leaf, inner), min_size=1, max_size=4).map(_section),
        max_leaves=4,
    )


def _section(fields: Mapping[str, Drawn]) -> Drawn:
    cls = make_dataclass("Drawn", [(name, one.hint) for name, one in fields.items()], frozen=True)
    value = cls(**{name: one.value for name, one in fields.items()})
    return Drawn(cls, value, {name: one.plain for name, one in fields.items()})


def variables(values: Mapping[str, object], prefix: str) -> dict[str, str]:
    """Write the plain values of sections as variables."""
    written = {}
    for name, value in values.items():
        written[prefix + name.upper()] = _as_text(value)
    return written


def _as_text(value: object) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case bool() | list() | dict():
            return json.dumps(value)
        case _:
            return repr(value)


def flat(one: Drawn) -> dict[str, object]:
    """Name the plain value of every setting by its path, joined as variables are."""
    return dict(_walk(one.value, ""))


def _walk(section: object, prefix: str) -> Iterator[tuple[str, object]]:
    assert is_dataclass(section)
    for each in fields(section):
        value, name = getattr(section, each.name), prefix + each.name
        if is_dataclass(value):
            yield from _walk(value, f"{name}__")
        else:
            yield name, plain(value)
