"""Layers come as tables, as JSON in one variable, or as a variable for each item: the result is that of one model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from heykit.config import Source, environment, load, mapping
from tests.config.servers import Settings

Table: TypeAlias = dict[str, object]


class Laid(list[object]):
    """Items that came one by one: they are laid over a list, where a list as a whole replaces it."""


class Small(str):
    """The name of an entry as a variable has it: it stands for itself in capitals, too."""

    __slots__ = ()


NUMBERS = st.integers(1, 9)
# Of each letter one spelling: what two entries that differ by it alone are for a variable, nobody can say.
LIMITS = st.dictionaries(st.sampled_from("abC"), NUMBERS)
TLS = st.fixed_dictionaries({}, optional={"cert": st.sampled_from("xyz"), "port": NUMBERS})
SERVER = st.fixed_dictionaries(
    {},
    optional={
        "host": st.sampled_from("pqr"),
        "tls": TLS,
        "need": TLS,
        "tags": st.lists(NUMBERS, max_size=3),
        "limits": LIMITS,
    },
)
LAYER = st.fixed_dictionaries(
    {},
    optional={
        "servers": st.lists(SERVER, max_size=3),
        "by_name": st.dictionaries(st.sampled_from("mN"), SERVER),
        "hosts": st.lists(st.sampled_from("uvw"), max_size=3),
        "limits": LIMITS,
        "one": SERVER,
        "maybe": SERVER,
        "text": st.sampled_from(['{"a": 1}', '{"b": 2}', "x"]),
    },
)


def written(value: object, name: str, choose: st.DataObject, variables: dict[str, str]) -> object:
    """Write a layer as variables, each table and list as a whole or one by one; give what the model makes of it."""
    if isinstance(value, dict | list) and name and (not value or choose.draw(st.booleans())):
        variables[name] = json.dumps(value)
        return value
    if isinstance(value, dict):
        below = f"{name}__" if name else "APP_"
        return {
            Small(key.lower()) if len(key) == 1 else key: written(each, below + key.upper(), choose, variables)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return Laid(written(each, f"{name}__{at}", choose, variables) for at, each in enumerate(value))
    variables[name] = str(value)
    return value


def laid(below: object, value: object) -> object:
    """The model."""
    if isinstance(value, dict):
        table: Table = dict(below) if isinstance(below, dict) else {}
        for name, each in value.items():
            same = next((key for key in table if key.lower() == name.lower()), name)
            under = table.pop(same, None)
            table[same if isinstance(name, Small) else name] = laid(under, each)
        return table
    if isinstance(value, Laid):
        items = [*below] if isinstance(below, list) else []
        for at, each in enumerate(value):
            items[at : at + 1] = [laid(items[at] if at < len(items) else None, each)]
        return items
    return [laid(None, each) for each in value] if isinstance(value, list) else value


@given(st.data(), st.lists(st.tuples(st.booleans(), LAYER), min_size=1, max_size=4))
def test_layers_in_whatever_form_are_those_of_the_model(
    choose: st.DataObject, layers: list[tuple[bool, Table]]
) -> None:
    sources: list[Source] = []
    expected: object = {}
    for is_table, layer in layers:
        variables: dict[str, str] = {}
        form = layer if is_table else written(layer, "", choose, variables)
        sources.append(mapping(layer) if is_table else environment("APP_", variables=variables))
        expected = laid(expected, form)

    assert isinstance(expected, Mapping)
    assert load(Settings, sources) == load(Settings, [mapping(plain(expected))])


def plain(value: Mapping[str, object]) -> Mapping[str, object]:
    table = json.loads(json.dumps(value))
    assert isinstance(table, dict)
    return table
