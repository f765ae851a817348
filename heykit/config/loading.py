"""Loading settings: read the sources, merge their layers, read the result by the plan, name where each fault stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from heykit.config.kinds import Complaint, Wrong
from heykit.config.layers import merged, owner
from heykit.config.mask import dotted
from heykit.config.packed import DEEPEST, is_too_deep
from heykit.config.plan import Section, plan
from heykit.config.protocol import Layer, Source, Trail
from heykit.errors import ConfigError, ConfigFault

S = TypeVar("S")

_MOST_ORIGINS = 5


def load(settings: type[S], sources: Sequence[Source]) -> S:
    """Load settings of this frozen dataclass from the sources; later ones win, key by key.

    Raises `ConfigError` with every fault of every source, and `TypeError` where the class cannot hold settings.
    """
    section = plan(settings)
    value = reading(section, layers_of(section, sources))
    if isinstance(value, Faulty):
        raise ConfigError(value.faults)
    assert isinstance(value, settings)
    return value


def layers_of(section: Section, sources: Sequence[Source]) -> Sequence[Layer]:
    """Read every source. Raises `TypeError` for what is none."""
    return [shallow(source.read(section.keys)) for source in expect_sources(sources)]


def shallow(layer: Layer) -> Layer:
    """Give a layer as it is, or with a fault in place of values that are nested too deep to be read."""
    if not is_too_deep(layer.values):
        return layer
    fault = ConfigFault("", f"settings nested up to {DEEPEST} deep", layer.origin(()), "a deeper nesting")
    return replace(layer, values={}, faults=[*layer.faults, fault])


def expect_sources(sources: Iterable[Source]) -> Sequence[Source]:
    """Give the sources as they are. Raises `TypeError` for what is no list of sources."""
    if not isinstance(sources, Iterable):
        raise TypeError("sources are a list, also where there is one: load(Settings, [environment(...)])")
    sources = tuple(sources)
    strange = next((source for source in sources if not hasattr(source, "read")), None)
    if strange is not None:
        raise TypeError(
            f"a {type(strange).__name__} is no source: give json_file(path), environment(prefix) or the like"
        )
    return sources


class Faulty(NamedTuple):
    """What is wrong, in place of what was asked for."""

    faults: Sequence[ConfigFault]


def reading(section: Section, layers: Sequence[Layer]) -> object:
    """Give the settings or what is wrong with them; the caller raises, so that no traceback passes by raw values."""
    faults = [fault for layer in layers for fault in layer.faults]
    value = section.read(merged(layers))
    if type(value) is Wrong:
        faults += [_fault(complaint, section, layers) for complaint in value.complaints]
    return Faulty(faults) if faults else value


def _fault(complaint: Complaint, section: Section, layers: Sequence[Layer]) -> ConfigFault:
    if complaint.whole:
        origin = _origins(complaint.trail, section, layers)
    else:
        origin = _places(complaint.trail, layers) if complaint.missing else _origin(complaint.trail, layers)
    return ConfigFault(dotted(complaint.trail), complaint.expected, origin, complaint.found, complaint.suggestion)


def _origins(trail: Trail, section: Section, layers: Sequence[Layer]) -> str:
    """Name where each of the settings of a section was set: any of them may be what it refuses."""
    owners = ((key, owner(layers, key)) for key in section.keys if key[: len(trail)] == trail)
    origins = [*dict.fromkeys(layer.origin(key) for key, layer in owners if layer is not None)]
    if not origins:
        return _origin(trail, layers)
    return ", ".join(origins[:_MOST_ORIGINS]) + (" and others" if len(origins) > _MOST_ORIGINS else "")


def _origin(trail: Trail, layers: Sequence[Layer]) -> str:
    layer = owner(layers, trail)
    return layer.origin(trail) if layer else "default"


def _places(trail: Trail, layers: Sequence[Layer]) -> str:
    """Name every place where a missing setting could stand, the one that wins first."""
    inside = next((at for at, step in enumerate(trail) if isinstance(step, int)), None)
    if inside is not None:
        return _origin(trail[: inside + 1], layers)
    return " or ".join(dict.fromkeys(layer.origin(trail) for layer in reversed(layers)))
