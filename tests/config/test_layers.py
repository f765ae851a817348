"""Layers over one another are what a deep merge of dictionaries is, and every value keeps its own origin."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from heykit.config import Entry, explain, load, mapping


@dataclass(frozen=True)
class Inner:
    x: int = 0
    y: int = 0
    table: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Outer:
    a: Inner = field(default_factory=Inner)
    b: Inner | None = None
    z: int = 0
    numbers: list[int] = field(default_factory=list)


def some(**values: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries({}, optional=values)


NUMBERS = st.integers(0, 9)
INNER = some(x=NUMBERS, y=NUMBERS, table=st.dictionaries(st.sampled_from("pqr"), NUMBERS))
LAYERS = st.lists(some(a=INNER, b=st.none() | INNER, z=NUMBERS, numbers=st.lists(NUMBERS, max_size=2)), max_size=5)


def deep(lower: dict[str, object], upper: dict[str, object]) -> dict[str, object]:
    merged = dict(lower)
    for key, value in upper.items():
        below = lower.get(key)
        merged[key] = deep(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def merged_by_model(layers: list[dict[str, object]]) -> dict[str, object]:
    nothing: dict[str, object] = {}
    return reduce(deep, layers, nothing)


def at(value: object, trail: list[str]) -> object:
    for step in trail:
        value = value[step] if isinstance(value, dict) and step in value else None
    return value


@given(LAYERS)
def test_layers_equal_a_deep_merge(layers: list[dict[str, object]]) -> None:
    merged = merged_by_model(layers)

    assert load(Outer, [mapping(merged)]) == load(Outer, [mapping(layer) for layer in layers])


@given(LAYERS)
def test_the_origin_of_a_setting_is_the_last_layer_that_sets_it(layers: list[dict[str, object]]) -> None:
    loaded = explain(Outer, [mapping(layer, name=str(index)) for index, layer in enumerate(layers)])

    for entry in loaded.entries:
        trail = entry.key.split(".")
        held = at(merged_by_model(layers), trail)
        if isinstance(held, dict) and held:
            assert entry.origin == ", ".join(sorted({last(layers, [*trail, name]) for name in held}))
        elif held is None and not (trail == ["b"] and any("b" in layer for layer in layers)):
            assert entry.origin == "default"
        else:
            assert entry.origin == last(layers, trail)


def last(layers: list[dict[str, object]], trail: list[str]) -> str:
    """Name the last layer that has something there; one that has None for `b` has that."""
    return [str(index) for index, layer in enumerate(layers) if at(layer, trail) is not None or trail[-1] in layer][-1]


@given(LAYERS)
def test_no_layer_is_changed_by_loading(layers: list[dict[str, object]]) -> None:
    before = repr(layers)
    load(Outer, [mapping(layer) for layer in layers])

    assert before == repr(layers)


def test_a_default_set_aside_with_its_section_leaves_no_origin() -> None:
    """The first source's `x` went when the second set the whole section to none."""
    layers = [
        mapping({"b": {"x": 1}}, name="one"),
        mapping({"b": None}, name="two"),
        mapping({"b": {"y": 2}}, name="three"),
    ]
    loaded = explain(Outer, layers)

    assert loaded.settings.b == Inner(0, 2)
    assert Entry("b.x", "0", "default", "int") in loaded.entries
    assert Entry("b.y", "2", "three", "int") in loaded.entries
