"""Layers over one another: later ones win, key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from heykit.config.indexed import Indexed
from heykit.config.protocol import Layer, Trail


def merged(layers: Sequence[Layer]) -> Mapping[str, object]:
    """Lay the layers over one another: mappings are merged, anything else replaces what stood there."""
    result: Mapping[str, object] = {}
    for layer in layers:
        result = _over(result, layer.values) if result or layer.has_items else layer.values
    return result


def _over(lower: Mapping[str, object], upper: Mapping[str, object]) -> Mapping[str, object]:
    result = dict(lower)
    for name, value in upper.items():
        below = result.get(name)
        if isinstance(value, Indexed):
            result[name] = value.over(below)
        elif type(value) is dict and not isinstance(below, Mapping):
            result[name] = _over({}, value)  # for the sake of the items in it
        elif isinstance(value, Mapping) and isinstance(below, Mapping):
            result[name] = _over(below, value)
        else:
            result[name] = value
    return result


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
