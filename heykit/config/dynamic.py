"""Settings without a class: whatever the sources hold, read by key."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Final, TypeVar, cast

from heykit.config import kinds
from heykit.config.any_case import spelt
from heykit.config.durations import DURATION
from heykit.config.indexed import Indexed
from heykit.config.kinds import Complaint, Kind, Wrong, read_as
from heykit.config.layers import items_of, laid, merged, owner, table_of
from heykit.config.loading import Faulty, expect_sources, shallow
from heykit.config.mask import dotted, printable
from heykit.config.nearest import nearest
from heykit.config.plan import Rule, kind_of, ruled
from heykit.config.protocol import Layer, Source, Text, Trail
from heykit.config.rules import Between, MaxLength, MinLength, OneOf, Pattern
from heykit.config.secret import Secret
from heykit.config.sizes import SIZE
from heykit.config.urls import URL
from heykit.errors import ConfigError, ConfigFault

T = TypeVar("T")

_TYPES: Final[Mapping[str, Kind]] = MappingProxyType({
    "str": kinds.STR, "string": kinds.STR, "int": kinds.INT, "integer": kinds.INT, "float": kinds.FLOAT,
    "number": kinds.FLOAT, "bool": kinds.BOOL, "boolean": kinds.BOOL, "list": kinds.items(kinds.ANY, list),
    "dict": kinds.table(kinds.ANY), "table": kinds.table(kinds.ANY), "secret": kinds.secret(kinds.STR), "url": URL,
    "path": kinds.PATH, "duration": DURATION, "size": SIZE,
})  # fmt: skip
_NUMBER: Final = kinds.either([kinds.INT, kinds.FLOAT], optional=False)
_RULES: Final = ("type", "required", "default", "pattern", "min_length", "max_length", "min", "max", "one_of")
_ABSENT: Final = object()


def read(sources: Sequence[Source]) -> Config:
    """Read all that the sources hold; later ones win, key by key. Raises `ConfigError` for what is wrong with them.

    Of variables every one under the prefix is read: `HEYGEN_DATABASE__URL` is `database.url`, and what a file calls
    `maxSize` is set by `HEYGEN_MAXSIZE`.
    """
    layers = [_all_of(source) for source in expect_sources(sources)]
    faults = [fault for layer in layers for fault in layer.faults]
    if faults:
        raise ConfigError(faults)
    return Config(layers)


def _all_of(source: Source) -> Layer:
    read_all = getattr(source, "read_all", None)
    return shallow(cast("Callable[[], Layer]", read_all)() if callable(read_all) else source.read(()))


class Config:
    """Settings by dotted key, such as `database.url` or `servers.0.host`. Its `repr` shows no values."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._values = _settled(merged(layers))
        self._defaults = Layer({}, lambda _: "default")

    def __repr__(self) -> str:
        return f"Config(keys={self.stats()['keys']})"

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Give a setting as this type, or the default where nothing is set (None for a type that has it).

        Raises `ConfigError` for one that is of another type, and for one that is not set and has no default.
        """
        value = self._read(key, _kind_of(kind), default)
        if isinstance(value, Faulty):
            raise ConfigError(value.faults)
        return cast("T", value)

    def section(self, prefix: str) -> Mapping[str, object]:
        """Give what is set beneath a key, or with "" all there is, as it was written: texts, numbers, lists, tables."""
        return _plain(table_of(self._at(prefix) if prefix else self._values) or {})

    def origin(self, key: str) -> str:
        """Tell where a setting came from: the variable, the file and line; "default", or "" for one that is not set."""
        trail, found = self._way(key)
        layer = None if found is _ABSENT else owner(self._all(), trail)
        return "" if layer is None else layer.origin(trail)

    def stats(self) -> Mapping[str, int]:
        """Count the sources and the keys that are set."""
        return {"sources": len(self._layers), "keys": _count(self._values)}

    def validate(self, rules: Mapping[str, Mapping[str, object]]) -> None:
        """Judge settings by rules: `{"database.url": {"type": "str", "required": True, "pattern": "^postgres"}}`.

        A rule may have `type` (a type, or its name; without one any will do), `required`, `default` (which is set from
        then on), `pattern`, `min_length`, `max_length`, `min`, `max` and `one_of`. Raises `ConfigError` with every
        fault at once, and `TypeError` for a rule that there is not, or whose default does not keep it.
        """
        judging = {key: _kind(key, rule) for key, rule in rules.items()}
        _expect_apart({key: rule for key, rule in rules.items() if rule.get("default") is not None})
        faults = [fault for key, rule in rules.items() for fault in self._judged(key, judging[key], rule)]
        if faults:
            raise ConfigError(faults)
        added: dict[str, object] = {}
        for key, rule in rules.items():
            if self._takes_default(key, rule):
                default = rule["default"]
                hidden = isinstance(default, str) and judging[key].secret
                _put(added, _steps(key), Text(str(default), hidden=True) if hidden else default)
        values = cast("Mapping[str, object]", laid(self._defaults.values, added))
        self._defaults = Layer(values, self._defaults.origin)
        self._values = _settled(merged(self._all()))

    def _read(self, key: str, kind: Kind, default: object) -> object:
        """Give a setting or what is wrong with it; the caller raises, so that no traceback passes by raw values."""
        trail, found = self._way(key)
        if found is _ABSENT and default is not None:
            return default
        value = kind.read(None) if found is _ABSENT else read_as(kind, found)
        if type(value) is not Wrong:
            return value
        if found is _ABSENT:
            return Faulty([self._nothing(key, kind)])
        for step in reversed(trail):
            value = Wrong(value.under(step))
        return Faulty([self._fault(complaint) for complaint in value.complaints])

    def _judged(self, key: str, kind: Kind, rule: Mapping[str, object]) -> Sequence[ConfigFault]:
        if self._at(key) is not _ABSENT:
            value = self._read(key, kind, None)
            return value.faults if isinstance(value, Faulty) else ()
        is_needed = rule.get("required", False) or rule.get("default") is not None
        return [self._nothing(key, kind)] if is_needed and not self._takes_default(key, rule) else ()

    def _takes_default(self, key: str, rule: Mapping[str, object]) -> bool:
        """Tell whether nothing is set there, and nothing above it that is no table or came as one text."""
        above = (self._at(".".join(_steps(key)[:end])) for end in range(1, len(_steps(key))))
        is_free = self._at(key) is _ABSENT and all(each is _ABSENT or table_of(each) is not None for each in above)
        return is_free and rule.get("default") is not None

    def _nothing(self, key: str, kind: Kind) -> ConfigFault:
        return ConfigFault(key, kind.expected, self._places(key), "nothing", self._near(key))

    def _all(self) -> Sequence[Layer]:
        return [self._defaults, *self._layers]

    def _at(self, key: str) -> object:
        return self._way(key)[1]

    def _way(self, key: str) -> tuple[Trail, object]:
        """Follow a key to what stands there, with the way as it is: a number is a place where there is a list."""
        found: object = self._values
        trail: list[str | int] = []
        for step in _steps(key):
            items = items_of(found)
            if items is not None and step.isdecimal() and int(step) < len(items):
                trail.append(int(step))
                found = items[int(step)]
                continue
            beneath = table_of(found)
            name = step if beneath is None else cast("str", spelt(step, beneath))
            if beneath is None or name not in beneath:
                return _steps(key), _ABSENT
            trail.append(step)
            found = beneath[name]
        return tuple(trail), found

    def _fault(self, complaint: Complaint) -> ConfigFault:
        layer = owner(self._all(), complaint.trail)
        origin = "" if layer is None else layer.origin(complaint.trail)
        return ConfigFault(dotted(complaint.trail), complaint.expected, origin, complaint.found, complaint.suggestion)

    def _places(self, key: str) -> str:
        return " or ".join(dict.fromkeys(layer.origin(_steps(key)) for layer in reversed(self._layers)))

    def _near(self, key: str) -> str:
        *above, last = _steps(key)
        beneath = table_of(self._at(".".join(above)) if above else self._values)
        near = None if beneath is None else nearest(last, map(str, beneath))
        return "" if near is None else printable(".".join([*above, near]))


def _settled(values: Mapping[str, object]) -> Mapping[str, object]:
    """Give what has numbers for its names, and is no list from 0 on, as a table."""
    return {name: _settled_value(value) for name, value in values.items()}


def _settled_value(value: object) -> object:
    if isinstance(value, Indexed):
        is_list = len(value) == max(value) + 1
        value = [value[place] for place in sorted(value)] if is_list else {str(at): each for at, each in value.items()}
    if isinstance(value, list):
        return [_settled_value(each) for each in value]
    return _settled(value) if isinstance(value, Mapping) else value


def _expect_apart(keys: Collection[str]) -> None:
    for key in keys:
        above = (key[:at] for at, letter in enumerate(key) if letter == ".")
        both = next((each for each in above if each in keys), None)
        if both is not None:
            raise TypeError(f"the rules of {both} and {key} have defaults, of which one would hide the other")


def _put(values: dict[str, object], steps: Sequence[str], value: object) -> None:
    for step in steps[:-1]:
        values = cast("dict[str, object]", values.setdefault(step, {}))
    values[steps[-1]] = value


def _steps(key: str) -> tuple[str, ...]:
    if not isinstance(key, str):
        raise TypeError(f"a key is a text such as 'database.url', not a {type(key).__name__}")
    return tuple(key.split("."))


def _kind(key: str, rule: Mapping[str, object]) -> Kind:
    if not isinstance(rule, Mapping):
        raise TypeError(f"the rule of {key} is no table: write {{'type': 'int', 'required': True}} or the like")
    unknown = rule.keys() - set(_RULES)
    if unknown:
        near = nearest(str(min(unknown)), _RULES)
        hint = f": did you mean {near}?" if near else f": there are {', '.join(_RULES)}"
        raise TypeError(f"the rule of {key} has {min(unknown)!r}{hint}")
    try:
        kind = ruled(_typed(key, rule), _judges(rule))
    except (ValueError, re.error) as error:
        raise TypeError(f"the rule of {key} cannot be read: {error}") from None
    default = rule.get("default")
    if default is not None and type(kind.read(default)) is Wrong:
        raise TypeError(f"the rule of {key} has a default that is not {kind.expected}")
    return kind


def _typed(key: str, rule: Mapping[str, object]) -> Kind:
    hint = rule.get("type")
    if hint is None:
        return _NUMBER if "min" in rule or "max" in rule else kinds.ANY
    if not isinstance(hint, str):
        return _kind_of(hint)
    if hint not in _TYPES:
        raise TypeError(f"the rule of {key} has the type {hint!r}: name one of {', '.join(_TYPES)}, or give a type")
    return _TYPES[hint]


def _kind_of(hint: object) -> Kind:
    if hint in (list, dict):
        return _whole(_TYPES["list" if hint is list else "dict"])
    try:
        return kind_of(hint, ())
    except TypeError as error:
        message = f"{error}: no setting can have this type"
    raise TypeError(message)


def _whole(kind: Kind) -> Kind:
    """Give all that stands in a list or a table as `section` does."""

    def read(raw: object) -> object:
        value = kind.read(raw)
        return value if type(value) is Wrong else _plain_value(value)

    return kind._replace(read=read)


def _judges(rule: Mapping[str, object]) -> Sequence[Rule]:
    judges: list[Rule] = []
    if "pattern" in rule:
        judges.append(Pattern(str(rule["pattern"])))
    if "min_length" in rule:
        judges.append(MinLength(int(str(rule["min_length"]))))
    if "max_length" in rule:
        judges.append(MaxLength(int(str(rule["max_length"]))))
    if "min" in rule or "max" in rule:
        judges.append(Between(_number(rule.get("min", -inf)), _number(rule.get("max", inf))))
    if "one_of" in rule:
        allowed = rule["one_of"]
        if not isinstance(allowed, list | tuple | set | frozenset):
            raise ValueError("one_of is a list of what is allowed")
        judges.append(OneOf(*allowed))
    return judges


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else float(str(value))


def _plain(value: Mapping[str, object]) -> dict[str, object]:
    return {str(name): _plain_value(each) for name, each in value.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Text) and value.below is not None:
        return _plain_value(table_of(value) or replace(value, below=None))
    if isinstance(value, Text):
        return Secret(value.value) if value.hidden else value.value
    if isinstance(value, list):
        return [_plain_value(each) for each in value]
    return _plain(value) if isinstance(value, Mapping) else value


def _count(values: Mapping[str, object]) -> int:
    count, waiting = 0, [values]
    while waiting:
        for value in waiting.pop().values():
            if isinstance(value, Mapping):
                waiting.append(value)
            else:
                count += 1
    return count
