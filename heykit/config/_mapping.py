"""Settings from a mapping in the program."""

from __future__ import annotations

from collections.abc import Mapping

from heykit.config.protocol import Key, Layer, Source, Trail


def mapping(values: Mapping[str, object], *, name: str = "mapping") -> Source:
    """Take settings from a nested mapping: defaults of a program, what a command line gave, what a test needs.

    Values have their proper types, as in a file; a `Path`, `timedelta`, `Secret`, member of an enumeration or whole
    section is taken as it is. `name` is the origin that faults and `explain` show.
    """
    return _Mapping(values, name)


class _Mapping:
    def __init__(self, values: Mapping[str, object], name: str) -> None:
        self._values, self._name = values, name

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        return Layer(self._values, self._origin)

    def _origin(self, trail: Trail) -> str:
        return self._name
