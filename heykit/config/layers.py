"""Layers over one another: later ones win, key by key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import cast

from heykit.config.any_case import AnyCase, spelt
from heykit.config.indexed import Indexed
from heykit.config.kinds import listed, unpacked
from heykit.config.protocol import Layer, Text, Trail


def merged(layers: Sequence[Layer]) -> Mapping[str, object]:
    """Lay the layers over one another: mappings are merged, anything else replaces what stood there."""
    result: Mapping[str, object] = {}
    for layer in layers:
        result = _over(result, layer.values) if result or layer.has_items else layer.values
    return result


def _over(lower: Mapping[str, object], upper: Mapping[str, object]) -> Mapping[str, object]:
    result = dict(lower)
    has_any_case = AnyCase in map(type, lower)
    for name, value in upper.items():
        key = cast("str", spelt(name, result)) if has_any_case or type(name) is AnyCase else name
        result[key] = laid(result.get(key), value)
    return result


def laid(below: object, value: object) -> object:
    """Lay one value over another."""
    if isinstance(value, Indexed):
        return _items(below, value)
    if type(value) is Text and isinstance(below, Mapping) and not isinstance(below, Indexed):
        whole = table_of(value)
        value = value if whole is None else whole
    if not isinstance(value, Mapping):
        return value
    table = table_of(below)
    if table is None:
        return _over({}, value) if type(value) is dict else value  # for the sake of the items in it
    return _over(table, value)


def _items(below: object, items: Indexed) -> object:
    """Lay items over a list, in their places or right after its end; the items alone where that leaves a gap."""
    found = _list(below)
    for place in sorted(items):
        if place > len(found):
            return items
        if place == len(found):
            found.append(laid(None, items[place]))
        else:
            found[place] = laid(found[place], items[place])
    return found


def table_of(value: object) -> Mapping[str, object] | None:
    """Give what stands beneath as a table, if it is one: a mapping, a whole section, or JSON."""
    if isinstance(value, Mapping):
        return None if isinstance(value, Indexed) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Text):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    table = opened(value) if isinstance(value, Text) else None
    return table if isinstance(table, Mapping) else None


def _list(value: object) -> list[object]:
    if isinstance(value, Text) and not value.value.strip().startswith("["):
        return [*(listed(value) or ())]
    found = opened(value) if isinstance(value, Text) else value
    return [*found] if isinstance(found, list | tuple) else []


def opened(text: Text) -> object:
    """Read JSON out of a text; what comes out of a hidden one is hidden."""
    return _hidden(unpacked(text.value)) if text.hidden else unpacked(text.value)


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return {name: _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    if isinstance(value, str):
        return Text(value, hidden=True)
    return value if value is None else Text(json.dumps(value), hidden=True)


def owner(layers: Sequence[Layer], trail: Trail) -> Layer | None:
    """Find the layer whose value stands at `trail` when all are merged."""
    return next((layer for layer in reversed(layers) if holds(layer.values, trail)), None)


def holds(value: object, trail: Trail) -> bool:
    """Tell whether something stands at `trail` in nested tables."""
    for step in trail:
        table = value if isinstance(value, Mapping) else table_of(value) if isinstance(step, str) else None
        if table is None:
            return True  # a list or a text is of one layer, with all that stands in it
        key = cast("str", spelt(step, table))
        if key not in table:
            return False
        value = table[key]  # by place in items, else by name
    return True
