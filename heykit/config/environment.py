"""Settings from environment variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

from heykit.config.mask import printable
from heykit.config.nearest import nearest
from heykit.config.protocol import Key, Layer, Source, Text, Trail
from heykit.errors import ConfigFault

Unknown: TypeAlias = Literal["fault", "warn", "ignore"]
Names: TypeAlias = Mapping[str, Key]


def environment(
    prefix: str, *, separator: str = "__", unknown: Unknown = "warn", variables: Mapping[str, str] | None = None
) -> Source:
    """Take settings from variables like `HEYGEN_DATABASE__URL`, read when settings are loaded.

    A variable is the prefix and the key in capitals, its parts joined by `separator`. Text is converted to the
    setting's type: true/false/1/0/yes/no/on/off; lists as a JSON array or separated by commas; tables as a JSON object,
    which replaces the whole table; empty text is None where None is allowed.

    A variable under the prefix that nearly spells a setting, or in another case, is a fault. One that resembles none
    follows `unknown`: "warn" logs its name to the logger `heykit.config`, once for this source. With an empty prefix
    every other variable belongs to others and nothing is reported. `variables` takes the place of the process's
    environment.
    """
    if not separator:
        raise ValueError("separator is empty: HEYGEN_DATABASEURL would not tell where a section ends")
    if unknown not in ("fault", "warn", "ignore"):
        raise ValueError(f"unknown is 'fault', 'warn' or 'ignore', not {unknown!r}")
    return _Environment(prefix, separator, unknown, variables)


class _Environment:
    def __init__(self, prefix: str, separator: str, unknown: Unknown, variables: Mapping[str, str] | None) -> None:
        self._prefix, self._separator, self._unknown, self._variables = prefix, separator, unknown, variables
        self._warned: set[str] = set()

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        variables = os.environ if self._variables is None else self._variables
        names = _names(self._prefix, self._separator, keys)
        values: dict[str, object] = {}
        for name, key in names.items():
            text = variables.get(name)
            if text is not None:
                _put(values, key, Text(text))
        strays = [name for name in variables if self._ours(name) and name not in names] if self._prefix else []
        return Layer(values, self._origin(frozenset(names.values())), list(self._faults(strays, names)))

    def _origin(self, keys: frozenset[Key]) -> Callable[[Trail], str]:
        def origin(trail: Trail) -> str:
            # What stands inside a list or a table came with the variable of the whole.
            ends = range(len(trail), 0, -1)
            whole = next((trail[:end] for end in ends if trail[:end] in keys), trail)
            return _variable(self._prefix, self._separator, [str(step) for step in whole])

        return origin

    def _ours(self, name: str) -> bool:
        return name[: len(self._prefix)].upper() == self._prefix.upper()

    def _faults(self, strays: list[str], names: Names) -> Iterator[ConfigFault]:
        for stray in strays:
            near = self._near(stray, names)
            if near or self._unknown == "fault":
                rest = stray[len(self._prefix) :].lower()
                key = printable(rest.replace(self._separator.lower(), "."))
                yield ConfigFault(key, "the name of a setting", printable(stray), suggestion=near)
            elif self._unknown == "warn" and stray not in self._warned:
                self._warned.add(stray)
                _warn(stray)

    def _near(self, stray: str, names: Names) -> str:
        """Compare what follows the sections that are spelt right, so that a long section allows no more slips."""
        stray = self._prefix + stray[len(self._prefix) :].upper()
        cut = len(self._prefix)
        while (at := stray.find(self._separator.upper(), cut)) >= 0:
            after = at + len(self._separator)
            if not any(name.startswith(stray[:after]) for name in names):
                break
            cut = after
        rests = {name[cut:]: name for name in names if name.startswith(stray[:cut])}
        near = nearest(stray[cut:], rests)
        return "" if near is None else rests[near]


def _variable(prefix: str, separator: str, key: list[str]) -> str:
    return prefix + separator.join(key).upper()


@lru_cache(maxsize=256)
def _names(prefix: str, separator: str, keys: tuple[Key, ...]) -> Names:
    names: dict[str, Key] = {}
    for key in keys:
        name = _variable(prefix, separator, list(key))
        if name in names:
            raise TypeError(f"{'.'.join(names[name])} and {'.'.join(key)} would both be set by {name}: rename one")
        names[name] = key
    return MappingProxyType(names)


def _put(values: dict[str, object], key: Key, value: Text) -> None:
    *sections, last = key
    for section in sections:
        inner = values.setdefault(section, {})
        assert isinstance(inner, dict)
        values = inner
    values[last] = value


def _warn(name: str) -> None:
    import logging

    logging.getLogger("heykit.config").warning("The variable %s is no setting and is not used", printable(name))
