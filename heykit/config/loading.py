"""Loading settings: read the sources, merge their layers, read the result by the plan, name where each fault stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from heykit.config.kinds import Complaint, Wrong
from heykit.config.layers import holds, merged, owner
from heykit.config.mask import HIDDEN, dotted, shown
from heykit.config.plan import Section, plan
from heykit.config.protocol import Key, Layer, Source, Trail
from heykit.errors import ConfigError, ConfigFault
from heykit.health import Health

S = TypeVar("S")


@dataclass(frozen=True)
class Entry:
    """One setting as it was loaded; safe to show.

    `key` is dotted ("database.url"), `shown` the value with secrets masked, `origin` the variable, the file and line,
    or "default".
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


def load(settings: type[S], sources: Sequence[Source]) -> S:
    """Load settings of this frozen dataclass from the sources; later ones win, key by key.

    Raises `ConfigError` with every fault of every source, and `TypeError` where the class cannot hold settings.
    """
    section = plan(settings)
    value = _read(section, [source.read(section.keys) for source in sources])
    if isinstance(value, _Faulty):
        raise ConfigError(value.faults)
    assert isinstance(value, settings)
    return value


def explain(settings: type[S], sources: Sequence[Source]) -> Loaded[S]:
    """Load settings as `load` does, and tell where each came from.

    Raises `ConfigError` with every fault of every source, and `TypeError` where the class cannot hold settings.
    """
    section = plan(settings)
    layers = [source.read(section.keys) for source in sources]
    value = _read(section, layers)
    if isinstance(value, _Faulty):
        raise ConfigError(value.faults)
    assert isinstance(value, settings)
    return Loaded(value, tuple(_entries(section, value, layers, merged(layers), ())))


class _Faulty(NamedTuple):
    faults: Sequence[ConfigFault]


def _read(section: Section, layers: Sequence[Layer]) -> object:
    """Give the settings or what is wrong with them; the caller raises, so that no traceback passes by raw values."""
    faults = [fault for layer in layers for fault in layer.faults]
    value = section.read(merged(layers))
    if type(value) is Wrong:
        faults += [_fault(complaint, layers) for complaint in value.complaints]
    return _Faulty(faults) if faults else value


def _fault(complaint: Complaint, layers: Sequence[Layer]) -> ConfigFault:
    origin = _places(complaint.trail, layers) if complaint.missing else _origin(complaint.trail, layers)
    return ConfigFault(dotted(complaint.trail), complaint.expected, origin, complaint.found, complaint.suggestion)


def _origin(trail: Trail, layers: Sequence[Layer]) -> str:
    layer = owner(layers, trail)
    return layer.origin(trail) if layer else "default"


def _places(trail: Trail, layers: Sequence[Layer]) -> str:
    """Name every place where a missing setting could stand, the one that wins first."""
    inside = next((at for at, step in enumerate(trail) if isinstance(step, int)), None)
    if inside is not None:
        return _origin(trail[: inside + 1], layers)
    return " or ".join(dict.fromkeys(layer.origin(trail) for layer in reversed(layers)))


def _entries(
    section: Section, settings: object, layers: Sequence[Layer], values: Mapping[str, object], within: Key
) -> Iterator[Entry]:
    for one in section.fields:
        key, value = (*within, one.name), getattr(settings, one.name)
        if one.section is not None and value is not None:
            yield from _entries(one.section, value, layers, values, key)
        else:
            layer = owner(layers, key) if holds(values, key) else None
            origin = "default" if layer is None else layer.origin(key)
            hides = any(each.hidden and holds(each.values, key) for each in layers)
            yield Entry(dotted(key), HIDDEN if hides else shown(value), origin, one.kind.expected)
