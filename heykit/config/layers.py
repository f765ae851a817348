"""Layers over one another: later ones win, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heykit.config.indexed import Indexed
from heykit.config.protocol import Layer, Trail


def merged(layers: Sequence[Layer]) -> Mapping[str, object]:
    """Lay the layers over one another: mappings are merged, anything else replaces what stood there."""
    result: Mapping[str, object] = {}
    for layer in layers:
        result = _over(result, layer.values)
    return result


def _over(lower: Mapping[str, object], upper: Mapping[str, object]) -> Mapping[str, object]:
    if not upper:
        return lower
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        if isinstance(value, Indexed):
            result[name] = value.over(below)
        elif isinstance(value, Mapping) and (isinstance(below, Mapping) or _holds_items(value)):
            result[name] = _over(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def _holds_items(value: Mapping[str, object]) -> bool:
    """Tell whether items by place stand in nested mappings, which are made lists by laying them over nothing."""
    return any(isinstance(inner, Indexed) or (type(inner) is dict and _holds_items(inner)) for inner in value.values())


def owner(layers: Sequence[Layer], trail: Trail) -> Layer | None:
    """Find the layer whose value stands at `trail` when all are merged."""
    return next((layer for layer in reversed(layers) if holds(layer.values, trail)), None)


def holds(value: object, trail: Trail) -> bool:
    """Tell whether something stands at `trail` in nested mappings."""
    for step in trail:
        if not isinstance(value, Mapping):
            return True  # a list or a text is of one layer, with all that stands in it
        if step not in value:
            return False
        value = value[step]  # by place in items, else by name
    return True
