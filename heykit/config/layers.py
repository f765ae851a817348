"""Layers over one another: later ones win, key by key."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from heykit.config.any_case import AnyCase, spelt
from heykit.config.indexed import Indexed
from heykit.config.packed import listed, unpacked
from heykit.config.protocol import Layer, Text, Trail


def merged(layers: Sequence[Layer]) -> Mapping[str, object]:
    """Lay the layers over one another: mappings are merged, anything else replaces what stood there."""
    result: Mapping[str, object] = {}
    for layer in layers:
        result = _over(result, layer.values) if result or layer.has_items else layer.values
    return result


def _over(lower: Mapping[str, object], upper: Mapping[str, object]) -> Mapping[str, object]:
    result = dict(lower)
    if AnyCase not in map(type, lower) and AnyCase not in map(type, upper):
        for name, value in upper.items():
            result[name] = laid(result.get(name), value)
        return result
    spellings = {str(each).lower(): each for each in reversed([*lower])}
    for name, value in upper.items():
        other = spellings.get(str(name).lower(), name)
        key = other if name not in result and AnyCase in (type(name), type(other)) else name
        below = result.pop(key, None)
        # What is spelt as its source wrote it stays, or takes the place of what is not.
        result[key if type(name) is AnyCase else name] = laid(below, value)
    return result


def laid(below: object, value: object) -> object:
    """Lay one value over another."""
    if isinstance(value, Indexed):
        return _items(below, value)
    if type(value) is Text and isinstance(below, (Mapping, Text)) and not isinstance(below, Indexed):
        value = _text_over(below, value)
    if not isinstance(value, Mapping):
        return value
    table = _named(below) if isinstance(below, Indexed) else table_of(below)
    if table is None:
        return _over({}, value) if type(value) is dict else value  # for the sake of the items in it
    return _over(table, value)


def _text_over(below: Mapping[str, object] | Text, text: Text) -> object:
    if not text.value.lstrip().startswith("{"):
        return text
    if isinstance(below, Text):
        # Whether it is a table is known when it is read: it may be the text of a `str`.
        return dataclasses.replace(text, below=below)
    whole = table_of(text)
    return text if whole is None else whole


def _items(below: object, items: Indexed) -> object:
    """Lay items over a list, in their places or right after its end; the items alone where that leaves a gap."""
    table = table_of(below)
    if table is not None:
        return _over(table, _named(items))
    found = _list(below)
    for place in items:
        found[place] = laid(found.get(place), items[place])
    is_whole = found.beneath is None and len(found) == max(found) + 1
    return [found[place] for place in sorted(found)] if is_whole else found


def table_of(value: object) -> Mapping[str, object] | None:
    """Give what stands beneath as a table, if it is one: a mapping, a whole section, or JSON."""
    if isinstance(value, Mapping):
        return None if isinstance(value, Indexed) else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Text):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    table = opened(value) if isinstance(value, Text) else None
    return table if isinstance(table, Mapping) else None


def _named(items: Indexed) -> Mapping[str, object]:
    return {str(place): item for place, item in items.items()}


def _list(value: object) -> Indexed:
    """Give what stands beneath as items to be changed; there are none where it is no list."""
    if value is None or isinstance(value, Indexed):
        return Indexed(value or {}, value.beneath if value else None)
    found = items_of(value)
    if found is None:
        found = listed(value)
    return Indexed((), value) if found is None else Indexed(enumerate(found))


def items_of(value: object) -> Sequence[object] | None:
    """Give what stands beneath as a list, if it is one, or JSON of one."""
    if isinstance(value, Text) and value.value.lstrip().startswith("["):
        value = opened(value)
    return value if isinstance(value, list | tuple) else None


def opened(text: Text) -> object:
    """Read JSON out of a text, laid over that of the one below; what comes out of a hidden one is hidden."""
    found = _hidden(unpacked(text.value)) if text.hidden else unpacked(text.value)
    below = opened(text.below) if text.below is not None and isinstance(found, dict) else None
    return _over(below, found) if isinstance(below, dict) and isinstance(found, dict) else found


def section_of(text: Text) -> object:
    """Read a whole section out of one text: a table, None for nothing, or the text that is neither."""
    if text.value.strip() in ("", "null"):
        return None
    found = opened(text)
    return found if isinstance(found, Mapping) else text


def _hidden(value: object) -> object:
    if isinstance(value, dict):
        return {name: _hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_hidden(each) for each in value]
    if isinstance(value, str):
        return Text(value, hidden=True)
    return value if value is None else Text(json.dumps(value), hidden=True)


def owners(layers: Sequence[Layer], values: Mapping[str, object], key: Trail) -> Sequence[Layer]:
    """Find the layers of which something stands in the table or list at `key` of what all are merged to."""
    found: object = values
    for step in key:
        found = (table_of(found) or {}).get(cast("str", step))
    owned = {id(owner(layers, (*key, *leaf))) for leaf in _leaves(found)}
    return [layer for layer in layers if id(layer) in owned]


def _leaves(value: object) -> Iterator[Trail]:
    inside = table_of(value)
    parts = enumerate(items_of(value) or ()) if inside is None else inside.items()
    leaves = [(step, *leaf) for step, part in parts for leaf in _leaves(part)]
    yield from leaves or [()]


def owner(layers: Sequence[Layer], trail: Trail) -> Layer | None:
    """Find the layer whose value stands at `trail` when all are merged."""
    return next((layer for layer in reversed(layers) if holds(layer.values, trail)), None)


def holds(value: object, trail: Trail) -> bool:
    """Tell whether something stands at `trail` in nested tables."""
    for step in trail:
        found = value if isinstance(value, Mapping) else table_of(value) if isinstance(step, str) else None
        table = cast("Mapping[object, object] | None", found)  # by place in items, else by name
        if table is None:
            return True  # a list or a text is of one layer, with all that stands in it
        # What is no list from 0 on may have become a table, with places for its names.
        is_place = isinstance(table, Indexed) and isinstance(step, str) and step.isdecimal()
        key = int(step) if is_place else spelt(step, table)
        if key not in table:
            return False
        value = table[key]
    return True
