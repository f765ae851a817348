"""Settings under names like `HEYGEN_DATABASE__URL`, wherever such names and their texts come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import TypeAlias

from heykit.config.indexed import Indexed
from heykit.config.layers import laid, opened, section_of
from heykit.config.mask import dotted, masked, printable
from heykit.config.naming import Names, Naming, item_of, names_of, step_of
from heykit.config.packed import DEEPEST
from heykit.config.protocol import Key, Layer, Text, Trail
from heykit.config.strays import is_of_kubernetes, meant
from heykit.errors import ConfigFault

Place: TypeAlias = Callable[[str], str]
"""Says where a name stands, or would have to."""

_SECTION = "a JSON object of its settings, or a variable for each"
_NOT_BOTH = "the whole of a list or table, or its items, not both"


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

    def names(self, keys: tuple[Key, ...]) -> Names:
        """Name the settings, before any text is there that the traceback of a `TypeError` could show."""
        return names_of(self._naming, keys)

    def layer(self, names: Names, texts: Mapping[str, str], place: Place, *, hidden: bool = False) -> Layer:
        """Read those that name settings; the others are faults, or warned of."""
        held = {*texts}  # to ask the process's environment for one that is not there takes a microsecond and more
        taken = _Taken(texts, place, hidden)
        for name in self._whole_sections(names, texts, held):
            taken.section(names.sections[name], name)
        for name in filter(held.__contains__, names.settings):
            taken.setting(names.settings[name], name)
        settings_there = len(taken.used)
        for stray in sorted(name for name in held if name not in names.known and self._may_be_ours(name)):
            is_foreign = is_of_kubernetes(stray, texts)
            trail = None if is_foreign else item_of(stray, names, self._naming)
            if trail is not None:
                taken.item(trail, stray, _NOT_BOTH)
            elif self._is_ours(stray):
                taken.faults += self._unknown(stray, "" if is_foreign else meant(stray, names, self._naming), place)
        origin = self._origin(names, taken.used, place)
        has_items = len(taken.used) > settings_there
        return Layer(taken.values, origin, taken.faults, hidden=hidden, has_items=has_items)

    def everything(self, texts: Mapping[str, str], place: Place, *, hidden: bool = False) -> Layer:
        """Read every name that is ours, whatever settings there are."""
        naming = self._naming
        taken = _Taken(texts, place, hidden)
        for name in sorted(texts):
            if not (self._is_ours(name, everything=True) and len(name) > len(naming.prefix)):
                continue
            expected = "one value, or a table of them" if naming.prefix or naming.owns_all else ""
            taken.item(tuple(map(step_of, naming.parts(name))), name, expected)
        origin = self._origin(self.names(()), taken.used, place)
        return Layer(taken.values, origin, taken.faults, hidden=hidden, has_items=True)

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

    def _origin(self, names: Names, used: Mapping[Trail, str], place: Place) -> Callable[[Trail], str]:
        @cache
        def found() -> Mapping[Trail, str]:
            return {_folded(trail): name for trail, name in used.items()}

        @cache
        def wholes() -> frozenset[Trail]:
            return frozenset(_folded(key) for key in names.settings.values() if key not in names.tables)

        def origin(trail: Trail) -> str:
            trail = _folded(trail)
            # What stands inside a list or a table came with the variable of the whole, or with that of the item.
            ends = range(len(trail), 0, -1)
            name = next((found()[trail[:end]] for end in ends if trail[:end] in found()), None)
            if name is None:
                name = next((found()[each] for each in found() if each[: len(trail)] == trail), None)
            if name is None:
                name = self._naming.variable(next((trail[:end] for end in ends if trail[:end] in wholes()), trail))
            return printable(place(name))

        return origin

    def _unknown(self, stray: str, near: str, place: Place) -> Iterator[ConfigFault]:
        if near or self._naming.unknown == "fault":
            rest = stray[len(self._naming.prefix) :].lower()
            key = printable(masked(rest.replace(self._naming.separator.lower(), ".")))
            yield ConfigFault(key, "the name of a setting", printable(place(stray)), suggestion=printable(near))
        elif self._naming.unknown == "warn" and stray not in self._warned:
            self._warned.add(stray)
            _warn(place(stray))


class _Taken:
    """What has been taken out of the texts: values, the name that gave each, and what is wrong."""

    def __init__(self, texts: Mapping[str, str], place: Place, hidden: bool) -> None:
        self.values: dict[str, object] = {}
        self.used: dict[Trail, str] = {}
        self.faults: list[ConfigFault] = []
        self._texts, self._place, self._hidden = texts, place, hidden
        self._spellings: dict[int, dict[str, object]] = {}

    def setting(self, key: Key, name: str) -> None:
        """Take a setting; a section that is none has its fault already."""
        if _put(self.values, key, self._text(name)):
            self.used[key] = name

    def section(self, key: Key, name: str) -> None:
        """Take a whole section out of one text."""
        whole = section_of(self._text(name))
        if not isinstance(whole, Text) and _put(self.values, key, whole):
            self.used[key] = name
        else:
            self.faults.append(ConfigFault(".".join(key), _SECTION, printable(self._place(name)), "another text"))

    def item(self, trail: Trail, name: str, expected: str) -> None:
        """Take an item of a list or a table; where there is no place for it, a fault if something is `expected`."""
        is_apart = trail not in self.used and len(trail) <= DEEPEST
        if is_apart and self._put_item(trail, self._text(name)):
            self.used[trail] = name
        elif expected:
            found = ""
            if trail in self.used:
                expected, found = "one variable for each setting", f"{printable(self._place(self.used[trail]))} as well"
            elif not is_apart:
                expected = f"a name of up to {DEEPEST} parts"
            self.faults.append(ConfigFault(dotted(trail), expected, printable(self._place(name)), found))

    def _text(self, name: str) -> Text:
        return Text(self._texts[name], hidden=self._hidden)

    def _put_item(self, trail: Trail, value: Text) -> bool:
        """Put an item into its list or table; false where something is there as a whole, or names mix with places."""
        held: dict[object, object] = self.values  # type: ignore[assignment]  # keys of either kind, each where it belongs
        for step, following in pairwise(trail):
            key = self._spelt(step, held)
            inner = held.setdefault(key, Indexed() if isinstance(following, int) else {})
            whole = opened(inner) if isinstance(inner, Text) else None
            if isinstance(whole, dict):
                inner = held[key] = whole
            if isinstance(inner, Indexed) and isinstance(following, str):  # the numbers were names
                inner = held[key] = {str(place): each for place, each in inner.items()}
            if not isinstance(inner, dict):
                return False
            held = inner
        key = self._spelt(trail[-1], held)
        if isinstance(held.get(key), dict):
            return False
        held[key] = value
        return True

    def _spelt(self, step: str | int, held: dict[object, object]) -> object:
        """Find how a table that came as a whole spells a name. Names of variables are in small letters all."""
        if isinstance(step, int):
            return step if isinstance(held, Indexed) else str(step)
        if step in held:
            return step
        if id(held) not in self._spellings:
            self._spellings[id(held)] = {str(key).lower(): key for key in reversed([*held])}
        return self._spellings[id(held)].get(step.lower(), step)


def _folded(trail: Trail) -> Trail:
    # Whether a number is a place or a name, only the setting's type tells.
    return tuple(str(step).lower() for step in trail)


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
    values[last] = laid(values[last], value) if last in values else value
    return True


def _warn(place: str) -> None:
    import logging

    logging.getLogger("heykit.config").warning("The variable %s is no setting and is not used", printable(place))
