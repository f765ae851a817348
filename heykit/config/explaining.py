"""Settings with the origin of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from heykit.config.layers import holds, merged, owner, owners
from heykit.config.loading import Faulty, layers_of, reading
from heykit.config.mask import HIDDEN, dotted, shown, shown_as
from heykit.config.plan import Field, Section, plan
from heykit.config.protocol import Key, Layer, Source
from heykit.errors import ConfigError
from heykit.health import Health

S = TypeVar("S")


@dataclass(frozen=True)
class Entry:
    """One setting as it was loaded; safe to show.

    `key` is dotted ("database.url"), `shown` the value with secrets masked, `origin` the variable, the file and line,
    or "default"; of a table or list every source that something in it is of.
    """

    key: str
    shown: str
    origin: str
    expected: str


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """Settings, and where each came from. The `repr` shows no settings: a URL in them may hold a password."""

    settings: S = field(repr=False)
    entries: Sequence[Entry]

    async def health(self) -> Health:
        """Say that all settings are valid, with the name and origin of each."""
        return Health("pass", "config", figures={entry.key: entry.origin for entry in self.entries})


def explain(settings: type[S], sources: Sequence[Source]) -> Loaded[S]:
    """Load settings as `load` does, and tell where each came from.

    Raises `ConfigError` with every fault of every source, and `TypeError` where the class cannot hold settings.
    """
    section = plan(settings)
    layers = layers_of(section, sources)
    value = reading(section, layers)
    if isinstance(value, Faulty):
        raise ConfigError(value.faults)
    assert isinstance(value, settings)
    return Loaded(value, tuple(_entries(section, value, layers, merged(layers), ())))


def _origin(field: Field, layers: Sequence[Layer], values: Mapping[str, object], key: Key) -> str:
    if not holds(values, key):
        return "default"
    if field.kind.beneath:
        return ", ".join(layer.origin(key) for layer in owners(layers, values, key))
    layer = owner(layers, key)
    return "default" if layer is None else layer.origin(key)


def _entries(
    section: Section, settings: object, layers: Sequence[Layer], values: Mapping[str, object], within: Key
) -> Iterator[Entry]:
    for one in section.fields:
        key, value = (*within, one.name), getattr(settings, one.name)
        if one.section is not None and value is not None:
            yield from _entries(one.section, value, layers, values, key)
        else:
            origin = _origin(one, layers, values, key)
            hides = any(each.hidden and holds(each.values, key) for each in layers)
            told = shown(value) if one.kind.closed else shown_as(one.name, value)
            yield Entry(dotted(key), HIDDEN if hides else told, origin, one.kind.expected)
