"""Settings without a class: whatever the sources hold, read by key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final, TypeVar, cast

from heykit.config.kinds import Complaint, Kind, Wrong, read_as
from heykit.config.layers import merged, owner
from heykit.config.mask import dotted, printable
from heykit.config.nearest import nearest
from heykit.config.plan import kind_of
from heykit.config.protocol import Layer, Source, Text
from heykit.config.rules import Between, MaxLength, MinLength, OneOf, Pattern
from heykit.config.secret import Secret
from heykit.errors import ConfigError, ConfigFault

T = TypeVar("T")

_TYPES: Final[Mapping[str, object]] = {
    "str": str, "string": str, "int": int, "integer": int, "float": float, "number": float, "bool": bool,
    "boolean": bool, "list": list[object], "secret": Secret,
}  # fmt: skip
_RULES: Final = ("type", "required", "default", "pattern", "min_length", "max_length", "min", "max", "one_of")
_ABSENT: Final = object()


def read(sources: Sequence[Source]) -> Config:
    """Read all that the sources hold; later ones win, key by key. Raises `ConfigError` for what is wrong with them.

    Of variables every one under the prefix is read: `HEYGEN_DATABASE__URL` is `database.url`.
    """
    layers = [_all_of(source) for source in sources]
    faults = [fault for layer in layers for fault in layer.faults]
    if faults:
        raise ConfigError(faults)
    return Config(layers)


def _all_of(source: Source) -> Layer:
    read_all = getattr(source, "read_all", None)
    return cast("Callable[[], Layer]", read_all)() if callable(read_all) else source.read(())


class Config:
    """Settings by dotted key, such as `database.url`. Its `repr` shows no values."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._values = merged(layers)
        self._defaults: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"Config(keys={self.stats()['keys']})"

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """Give a setting as this type, or the default where nothing is set.

        Raises `ConfigError` for one that is of another type, and for one that is not set and has no default.
        """
        _kind_of(kind)
        found = self._at(key)
        if found is _ABSENT:
            found = self._defaults.get(key, default)
            if found is not None:
                return cast("T", found)
            raise ConfigError([ConfigFault(key, _expected(kind), self._places(key), "nothing", self._near(key))])
        value = read_as(_kind_of(kind), found)
        if type(value) is Wrong:
            raise ConfigError([self._fault(key, complaint) for complaint in value.complaints])
        return cast("T", value)

    def section(self, prefix: str) -> Mapping[str, object]:
        """Give what is set beneath a key, as it was written: texts, numbers, lists and tables."""
        found = self._at(prefix)
        return _plain(found) if isinstance(found, Mapping) else {}

    def origin(self, key: str) -> str:
        """Tell where a setting came from: the variable, the file and line; "default", or "" for one that is not set."""
        layer = owner(self._layers, _steps(key)) if self._at(key) is not _ABSENT else None
        if layer is not None:
            return layer.origin(_steps(key))
        return "default" if key in self._defaults else ""

    def stats(self) -> Mapping[str, int]:
        """Count the sources and the keys that are set."""
        return {"sources": len(self._layers), "keys": _count(self._values)}

    def validate(self, rules: Mapping[str, Mapping[str, object]]) -> None:
        """Judge settings by rules: `{"database.url": {"type": "str", "required": True, "pattern": "^postgres"}}`.

        A rule may have `type` (a type, or its name), `required`, `default` (which `get` gives from then on), `pattern`,
        `min_length`, `max_length`, `min`, `max` and `one_of`. Raises `ConfigError` with every fault at once, and
        `TypeError` for a rule that there is not.
        """
        faults: list[ConfigFault] = []
        defaults: dict[str, object] = {}
        for key, rule in rules.items():
            kind = _kind(key, rule)
            found = self._at(key)
            if found is not _ABSENT:
                value = read_as(kind, found)
                faults += [self._fault(key, one) for one in value.complaints] if type(value) is Wrong else []
            elif rule.get("default") is not None:
                defaults[key] = rule["default"]
            elif rule.get("required", False):
                faults.append(ConfigFault(key, kind.expected, self._places(key), "nothing", self._near(key)))
        if faults:
            raise ConfigError(faults)
        self._defaults.update(defaults)

    def _at(self, key: str) -> object:
        found: object = self._values
        for step in _steps(key):
            if not isinstance(found, Mapping) or step not in found:
                return _ABSENT
            found = found[step]
        return found

    def _fault(self, key: str, complaint: Complaint) -> ConfigFault:
        trail = (*_steps(key), *complaint.trail)
        layer = owner(self._layers, trail)
        origin = "" if layer is None else layer.origin(trail)
        return ConfigFault(dotted(trail), complaint.expected, origin, complaint.found, complaint.suggestion)

    def _places(self, key: str) -> str:
        return " or ".join(dict.fromkeys(layer.origin(_steps(key)) for layer in reversed(self._layers)))

    def _near(self, key: str) -> str:
        *above, last = _steps(key)
        beneath = self._at(".".join(above)) if above else self._values
        near = nearest(last, [str(name) for name in beneath]) if isinstance(beneath, Mapping) else None
        return "" if near is None else printable(".".join([*above, near]))


def _steps(key: str) -> tuple[str, ...]:
    return tuple(key.split("."))


def _kind(key: str, rule: Mapping[str, object]) -> Kind:
    unknown = rule.keys() - set(_RULES)
    if unknown:
        near = nearest(str(min(unknown)), _RULES)
        hint = f": did you mean {near}?" if near else f": there are {', '.join(_RULES)}"
        raise TypeError(f"the rule of {key} has {min(unknown)!r}{hint}")
    hint_of_type = rule.get("type", str)
    named = _TYPES.get(hint_of_type) if isinstance(hint_of_type, str) else hint_of_type
    if named is None:
        raise TypeError(
            f"the rule of {key} has the type {hint_of_type!r}: name one of {', '.join(_TYPES)}, or give a type"
        )
    if named == list[object]:
        named = list[str]
    try:
        judges = _judges(rule)
    except (ValueError, re.error) as error:
        raise TypeError(f"the rule of {key} cannot be read: {error}") from None
    return _kind_of(Annotated[(named, *judges)] if judges else named)


def _kind_of(hint: object) -> Kind:
    try:
        return kind_of(hint, ())
    except TypeError as error:
        message = f"{error}: no setting can have this type"
    raise TypeError(message)


def _judges(rule: Mapping[str, object]) -> list[object]:
    judges: list[object] = []
    if "pattern" in rule:
        judges.append(Pattern(str(rule["pattern"])))
    if "min_length" in rule:
        judges.append(MinLength(int(str(rule["min_length"]))))
    if "max_length" in rule:
        judges.append(MaxLength(int(str(rule["max_length"]))))
    if "min" in rule or "max" in rule:
        judges.append(Between(float(str(rule.get("min", "-inf"))), float(str(rule.get("max", "inf")))))
    allowed = rule.get("one_of")
    if isinstance(allowed, list | tuple | set | frozenset):
        judges.append(OneOf(*allowed))
    return judges


def _expected(kind: object) -> str:
    return _kind_of(kind).expected


def _plain(value: Mapping[str, object]) -> dict[str, object]:
    return {name: _plain_value(each) for name, each in value.items()}


def _plain_value(value: object) -> object:
    if isinstance(value, Text):
        return Secret(value.value) if value.hidden else value.value
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
