"""Settings under names like `HEYGEN_DATABASE__URL`, wherever such names and their texts come from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

from heykit.config.indexed import Indexed
from heykit.config.kinds import NAMES, PLACES
from heykit.config.layers import laid, opened
from heykit.config.mask import printable
from heykit.config.nearest import nearest
from heykit.config.protocol import Key, Layer, Text, Trail
from heykit.errors import ConfigFault

Unknown: TypeAlias = Literal["fault", "warn", "ignore"]
Place: TypeAlias = Callable[[str], str]
"""Says where a name stands, or would have to."""


_SECTION = "a JSON object of its settings, or a variable for each"
_NOT_BOTH = "the whole of a list or table, or its items, not both"


class Naming(NamedTuple):
    """How settings are named, and what becomes of names that are none."""

    prefix: str
    separator: str
    unknown: Unknown
    owns_all: bool = False
    """Whether every name is meant for us, also without a prefix."""


class Names(NamedTuple):
    """The names of all settings, and of the sections they stand in; and which settings are tables, which lists."""

    settings: Mapping[str, Key]
    sections: Mapping[str, Key]
    known: frozenset[str]
    tables: frozenset[Key]
    lists: frozenset[Key]


class Variables:
    """Reads layers out of names and texts; it warns of each unknown name once."""

    def __init__(self, naming: Naming) -> None:
        if not naming.separator:
            raise ValueError("separator is empty: HEYGEN_DATABASEURL would not tell where a section ends")
        if naming.unknown not in ("fault", "warn", "ignore"):
            raise ValueError(f"unknown is 'fault', 'warn' or 'ignore', not {naming.unknown!r}")
        self._naming = naming._replace(separator=naming.separator.upper())
        self._prefix = naming.prefix.upper()
        self._warned: set[str] = set()

    def layer(self, keys: tuple[Key, ...], texts: Mapping[str, str], place: Place, *, hidden: bool = False) -> Layer:
        """Read those that name settings; the others are faults, or warned of."""
        names = _names(self._naming.prefix, self._naming.separator, keys)
        held = {*texts}  # to ask the process's environment for one that is not there takes a microsecond and more
        values: dict[str, object] = {}
        used: dict[Trail, str] = {}
        faults: list[ConfigFault] = []
        for name in self._whole_sections(names, texts, held):
            key, whole = names.sections[name], _section(Text(texts[name], hidden=hidden))
            if not isinstance(whole, Text) and _put(values, key, whole):
                used[key] = name
            else:
                faults.append(ConfigFault(".".join(key), _SECTION, printable(place(name)), "another text"))
        for name in filter(held.__contains__, names.settings):
            key = names.settings[name]
            if _put(values, key, Text(texts[name], hidden=hidden)):
                used[key] = name
        settings_there = len(used)
        for stray in sorted(name for name in held if name not in names.known and self._may_be_ours(name)):
            trail = self._item(stray, names)
            if trail is None:
                faults += self._unknown(stray, names, place) if self._is_ours(stray) else ()
            elif trail not in used and _put_item(values, trail, Text(texts[stray], hidden=hidden)):
                used[trail] = stray
            else:
                item = printable(".".join(map(str, trail)))
                faults.append(ConfigFault(item, _NOT_BOTH, printable(place(stray))))
        origin = self._origin(frozenset(names.settings.values()) - names.tables, used, place)
        return Layer(values, origin, faults, hidden=hidden, has_items=len(used) > settings_there)

    def everything(self, texts: Mapping[str, str], place: Place, *, hidden: bool = False) -> Layer:
        """Read every name that is ours, whatever settings there are."""
        naming = self._naming
        used: dict[Trail, str] = {}
        values: dict[str, object] = {}
        faults: list[ConfigFault] = []
        for name in sorted(texts):
            rest = name[len(naming.prefix) :]
            if not (self._is_ours(name, everything=True) and rest):
                continue
            trail = tuple(map(_step, rest.split(naming.separator)))
            if trail not in used and _put_item(values, trail, Text(texts[name], hidden=hidden)):
                used[trail] = name
            elif naming.prefix or naming.owns_all:
                key = printable(".".join(map(str, trail)))
                faults.append(ConfigFault(key, "one value, or a table of them", printable(place(name))))
        return Layer(values, self._origin(frozenset(), used, place), faults, hidden=hidden, has_items=True)

    def _whole_sections(self, names: Names, texts: Mapping[str, str], held: set[str]) -> Iterator[str]:
        """Find the variables that give a whole section; without a prefix `USER` is somebody else's."""
        for name in names.sections:
            if name in held and (self._naming.prefix or self._naming.owns_all or texts[name].lstrip().startswith("{")):
                yield name

    def _may_be_ours(self, name: str) -> bool:
        """Tell whether a name is to be looked at: without a prefix at least what may be an item of a list."""
        return self._is_ours(name) if self._naming.prefix else self._naming.owns_all or self._naming.separator in name

    def _is_ours(self, name: str, *, everything: bool = False) -> bool:
        if not self._prefix:
            return self._naming.owns_all or everything
        return name[: len(self._prefix)].upper() == self._prefix

    def _origin(self, keys: frozenset[Key], used: Mapping[Trail, str], place: Place) -> Callable[[Trail], str]:
        def origin(trail: Trail) -> str:
            # What stands inside a list or a table came with the variable of the whole, or with that of the item.
            ends = range(len(trail), 0, -1)
            name = next((used[trail[:end]] for end in ends if trail[:end] in used), None)
            if name is None:
                name = next((used[each] for each in used if each[: len(trail)] == trail), None)
            if name is None:
                whole = next((trail[:end] for end in ends if trail[:end] in keys), trail)
                name = _variable(self._naming.prefix, self._naming.separator, [str(step) for step in whole])
            return place(name)

        return origin

    def _item(self, name: str, names: Names) -> Trail | None:
        """Read `HEYGEN_HOSTS__0`, `HEYGEN_SERVERS__0__HOST` or, in a table, `HEYGEN_LIMITS__CPU`; `None` for others."""
        separator = self._naming.separator
        if not name.startswith(self._naming.prefix):
            return None
        parts = name[len(self._naming.prefix) :].split(separator)
        for at in range(1, len(parts)):
            key = names.settings.get(self._naming.prefix + separator.join(parts[:at]))
            is_place = isinstance(_step(parts[at]), int)
            if key is not None and is_place and (key in names.lists or _ends_no_list(key, parts[at:], names)):
                return (*key, *map(_step, parts[at:]))
            if key in names.tables and all(parts):
                return (*key, parts[at].lower(), *map(_step, parts[at + 1 :]))
        return None

    def _unknown(self, stray: str, names: Names, place: Place) -> Iterator[ConfigFault]:
        near = self._near(stray, names) or self._near_item(stray, names) or self._slipped_item(stray, names)
        if near or self._naming.unknown == "fault":
            rest = stray[len(self._naming.prefix) :].lower()
            key = printable(rest.replace(self._naming.separator.lower(), "."))
            yield ConfigFault(key, "the name of a setting", printable(place(stray)), suggestion=near)
        elif self._naming.unknown == "warn" and stray not in self._warned:
            self._warned.add(stray)
            _warn(place(stray))

    def _near_item(self, stray: str, names: Names) -> str:
        """Compare what names an item or an entry without its place and what follows."""
        separator = self._naming.separator
        parts = stray[len(self._naming.prefix) :].upper().split(separator)
        for at in range(1, len(parts)):
            near = self._near(self._naming.prefix + separator.join(parts[:at]), names)
            key = names.settings.get(near)
            if key in names.tables or (key in names.lists and isinstance(_step(parts[at]), int)):
                return separator.join([near, *parts[at:]])
        return ""

    def _slipped_item(self, stray: str, names: Names) -> str:
        """Find the item in `HEYGEN_HOSTS_0`; not in `HEYGEN_PORT_80_TCP`, which is Kubernetes'."""
        separator = self._naming.separator
        slipped = re.fullmatch(rf"(.+?)_([0-9]{{1,4}})((?:{re.escape(separator)}.*)?)", stray, re.DOTALL)
        if slipped is None or names.settings.get(slipped[1]) not in names.lists:
            return ""
        return f"{slipped[1]}{separator}{slipped[2]}{slipped[3]}"

    def _near(self, stray: str, names: Names) -> str:
        """Compare what follows the sections that are spelt right, so that a long section allows no more slips."""
        prefix, separator = self._naming.prefix, self._naming.separator
        stray = prefix + stray[len(prefix) :].upper()
        cut = len(prefix)
        while (at := stray.find(separator, cut)) >= 0:
            after = at + len(separator)
            if not any(name.startswith(stray[:after]) for name in names.known):
                break
            cut = after
        rests = {name[cut:]: name for name in names.known if name.startswith(stray[:cut])}
        near = nearest(stray[cut:], rests)
        return "" if near is None else rests[near]


def _variable(prefix: str, separator: str, key: list[str]) -> str:
    return prefix + separator.join(key).upper()


@lru_cache(maxsize=256)
def _names(prefix: str, separator: str, keys: tuple[Key, ...]) -> Names:
    settings: dict[str, Key] = {}
    sections: dict[str, set[Key]] = {}
    tables, lists = (frozenset(key[:-1] for key in keys if key[-1] == mark) for mark in (NAMES, PLACES))
    for key in (key for key in keys if key[-1] not in (NAMES, PLACES)):
        name = _variable(prefix, separator, list(key))
        if name in settings:
            raise TypeError(f"{'.'.join(settings[name])} and {'.'.join(key)} would both be set by {name}: rename one")
        settings[name] = key
        for end in range(1, len(key)):
            sections.setdefault(_variable(prefix, separator, list(key[:end])), set()).add(key[:end])
    # A name that would be of two sections, or of a section and a setting, is that of none.
    plain = {name: min(found) for name, found in sections.items() if len(found) == 1 and name not in settings}
    outer_first = dict(sorted(plain.items(), key=_depth))
    known = frozenset({*settings, *outer_first})
    return Names(MappingProxyType(settings), MappingProxyType(outer_first), known, tables, lists)


def _depth(named: tuple[str, Key]) -> int:
    return len(named[1])


def _ends_no_list(key: Key, rest: list[str], names: Names) -> bool:
    """Tell a place given to what holds none, a fault, from `HEYGEN_PORT_80_TCP`, which is Kubernetes'."""
    return len(rest) == 1 and key not in names.tables


def _step(part: str) -> str | int:
    """Read one part of a name: a place in a list, or a key."""
    return int(part) if part.isascii() and part.isdigit() and len(part) < 5 else part.lower()


def _section(text: Text) -> object:
    """Read a whole section out of one text: a table, None for nothing, or the text that is neither."""
    if text.value.strip() in ("", "null"):
        return None
    found = opened(text)
    return found if isinstance(found, Mapping) else text


def _put(values: dict[str, object], key: Key, value: object) -> bool:
    """Put a value at its place, over what is there; false where it is none, or something above it is no section."""
    *sections, last = key
    for section in sections:
        inner = values.get(section)
        if inner is None:  # also for a section that was given as nothing
            inner = values[section] = {}
        if not isinstance(inner, dict):
            return False
        values = inner
    values[last] = laid(values.get(last), value) if isinstance(value, Mapping) else value
    return True


def _put_item(values: dict[str, object], trail: Trail, value: Text) -> bool:
    """Put an item into its list or table; false where something stands there as a whole, or names mix with places."""
    held: dict[str | int, object] = values  # type: ignore[assignment]  # keys of either kind, each where it belongs
    for step, following in pairwise(trail):
        inner = held.setdefault(step, Indexed() if isinstance(following, int) else {})
        if not isinstance(inner, dict) or isinstance(inner, Indexed) is not isinstance(following, int):
            return False
        held = inner
    if isinstance(held.get(trail[-1]), dict):
        return False
    held[trail[-1]] = value
    return True


def _warn(place: str) -> None:
    import logging

    logging.getLogger("heykit.config").warning("The variable %s is no setting and is not used", printable(place))
