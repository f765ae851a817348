"""How settings are called as variables: `HEYGEN_DATABASE__URL`, and what may be written beneath such a name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from heykit.config.any_case import AnyCase
from heykit.config.kinds import NAMES, PLACES
from heykit.config.protocol import Key, Trail

Unknown: TypeAlias = Literal["fault", "warn", "ignore"]


class Naming(NamedTuple):
    """How settings are named, and what becomes of names that are none."""

    prefix: str
    separator: str
    unknown: Unknown
    owns_all: bool = False
    """Whether every name is meant for us, also without a prefix."""

    def variable(self, key: Trail) -> str:
        """Write the name of the variable of a key."""
        return self.prefix + self.separator.join(map(str, key)).upper()

    def parts(self, name: str) -> list[str]:
        """Take the parts of a key out of a name that has the prefix."""
        return name[len(self.prefix) :].split(self.separator)

    def joined(self, parts: list[str]) -> str:
        """Put parts together to a name."""
        return self.prefix + self.separator.join(parts)


class Names(NamedTuple):
    """The names of all settings, and of the sections they stand in; and which settings are tables, which lists."""

    settings: Mapping[str, Key]
    sections: Mapping[str, Key]
    known: frozenset[str]
    deepest: int
    """Of how many parts the longest of these names is."""
    tables: frozenset[Key]
    lists: frozenset[Key]


@lru_cache(maxsize=256)
def names_of(naming: Naming, keys: tuple[Key, ...]) -> Names:
    """Name all settings. Raises `TypeError` for two that would have one name."""
    settings: dict[str, Key] = {}
    sections: dict[str, set[Key]] = {}
    tables, lists = (frozenset(key[:-1] for key in keys if key[-1] == mark) for mark in (NAMES, PLACES))
    for key in (key for key in keys if key[-1] not in (NAMES, PLACES)):
        name = naming.variable(key)
        if name in settings:
            raise TypeError(f"{'.'.join(settings[name])} and {'.'.join(key)} would both be set by {name}: rename one")
        settings[name] = key
        for end in range(1, len(key)):
            sections.setdefault(naming.variable(key[:end]), set()).add(key[:end])
    # A name that would be of two sections, or of a section and a setting, is that of none.
    plain = {name: min(found) for name, found in sections.items() if len(found) == 1 and name not in settings}
    outer_first = dict(sorted(plain.items(), key=_depth))
    known = frozenset({*settings, *outer_first})
    deepest = max((len(naming.parts(name)) for name in known), default=0)
    return Names(MappingProxyType(settings), MappingProxyType(outer_first), known, deepest, tables, lists)


def _depth(named: tuple[str, Key]) -> int:
    return len(named[1])


def item_of(name: str, names: Names, naming: Naming) -> Trail | None:
    """Read `HEYGEN_HOSTS__0`, `HEYGEN_SERVERS__0__HOST` or, in a table, `HEYGEN_LIMITS__CPU`; `None` for others."""
    if not name.startswith(naming.prefix):
        return None
    parts = naming.parts(name)
    for at in range(1, min(len(parts), names.deepest + 1)):
        key = names.settings.get(naming.joined(parts[:at]))
        is_place = isinstance(step_of(parts[at]), int)
        # A place that ends the name of what is no list is a fault of its value.
        if key is not None and is_place and (key in names.lists or (key not in names.tables and at == len(parts) - 1)):
            return (*key, *map(step_of, parts[at:]))
        if key in names.tables and all(parts):
            return (*key, AnyCase(parts[at].lower()), *map(step_of, parts[at + 1 :]))
    return None


def step_of(part: str) -> str | int:
    """Read one part of a name: a place in a list, or a key."""
    is_place = part.isascii() and part.isdigit() and len(part) < 5 and (part == "0" or part[0] != "0")
    return int(part) if is_place else AnyCase(part.lower())
