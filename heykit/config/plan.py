"""A settings class, compiled once: its sections and settings, and how each is read."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import MISSING
from datetime import timedelta
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeAlias, Union, cast, get_args, get_origin

from heykit.config import kinds
from heykit.config.any_case import AnyCase, spelt
from heykit.config.durations import DURATION
from heykit.config.hints import hints
from heykit.config.kinds import Complaint, Kind, Wrong
from heykit.config.layers import section_of
from heykit.config.mask import HIDDEN, found, hidden_texts
from heykit.config.nearest import nearest
from heykit.config.protocol import Key, Text
from heykit.config.rules import Between, MaxLength, MinLength, OneOf, Pattern
from heykit.config.scrubbing import scrubbed
from heykit.config.secret import Secret
from heykit.config.sizes import SIZE, ByteSize
from heykit.config.urls import URL, Url

Rule: TypeAlias = Callable[[object], object]
Within: TypeAlias = tuple[type[object], ...]

_SCALARS: Mapping[object, Kind] = types.MappingProxyType(
    {
        str: kinds.STR,
        int: kinds.INT,
        float: kinds.FLOAT,
        bool: kinds.BOOL,
        Path: kinds.PATH,
        timedelta: DURATION,
        ByteSize: SIZE,
        Url: URL,
        type(None): kinds.NONE,
    }
)


class Field(NamedTuple):
    """One field of a settings class: a setting, or a section of more."""

    name: str
    kind: Kind
    default: Callable[[], object] | None
    section: Section | None = None
    optional: bool = False


class Section(NamedTuple):
    """A frozen dataclass of settings."""

    type: type[object]
    fields: tuple[Field, ...]
    names: frozenset[str]
    keys: tuple[Key, ...]
    """The keys of all settings in it."""

    def read(self, raw: object, base: object = None) -> object:
        """Build the section from a table; what is not in it comes from `base`, else from the fields' defaults."""
        if type(raw) is Text:
            raw = section_of(raw)
        if isinstance(raw, self.type):
            return raw
        if not isinstance(raw, Mapping):
            what = "none" if raw is None else "a list" if isinstance(raw, list | tuple) else "a value"
            form = ", as a JSON object or by a variable for each" if type(raw) is Text else ""
            return Wrong((Complaint(f"a table of settings{form}", what),))
        complaints: list[Complaint] = []
        if not raw.keys() <= self.names:
            raw = {str(spelt(name, self.names)) if type(name) is AnyCase else name: raw[name] for name in raw}
            complaints += self._strangers(raw)
        values: dict[str, object] = {}
        for field in self.fields:
            value = _read_field(field, raw, base)
            if type(value) is Wrong:
                complaints += value.under(field.name, section=field.section is not None)
            values[field.name] = value
        return Wrong(tuple(complaints)) if complaints else _built(self.type, values, raw)

    def _strangers(self, raw: Mapping[str, object]) -> Iterator[Complaint]:
        for name in raw:
            if name not in self.names:
                # The value is not shown: it may be a secret whose name is misspelt.
                suggestion = nearest(str(name), self.names) or ""
                yield Complaint("the name of a setting", "", (str(name),), suggestion, strange=True)


def _read_field(field: Field, raw: Mapping[str, object], base: object) -> object:
    if field.name not in raw:
        return _unset(field, base)
    value = raw[field.name]
    if field.section is None:
        return kinds.read_as(field.kind, value)
    if type(value) is Text:
        value = section_of(value)
    if field.optional and value is None:
        return None
    below = _unset(field, base) if base is not None or field.default is not None else None
    if type(below) is not Wrong:
        return field.section.read(value, below)
    read = field.section.read(value)
    return Wrong((*below.complaints, *(read.complaints if type(read) is Wrong else ())))


def _unset(field: Field, base: object) -> object:
    """Give the value of a field that no source sets."""
    if base is not None:
        return getattr(base, field.name)
    if field.default is not None:
        return made(field.default)
    if field.section is not None and not field.optional:
        return field.section.read({})
    return Wrong((Complaint(field.kind.expected, "nothing", missing=True),))


def made(default: Callable[[], object]) -> object:
    """Make a default, or say that its factory could not."""
    try:
        return default()
    except Exception as error:  # noqa: BLE001 - the factory is the user's, and its traceback would show the other settings
        name = type(error).__name__
    return Wrong((Complaint(f"a value, for the factory of the default raised {name}", "nothing", missing=True),))


def _built(cls: type[object], values: Mapping[str, object], raw: object) -> object:
    try:
        return cls(**values)
    except Exception as error:  # noqa: BLE001 - `__post_init__` is the user's: what it refuses is a fault like any other
        foreseen = isinstance(error, ValueError)
        said = (foreseen and str(error)) or f"settings {cls.__name__} accepts ({type(error).__name__})"
    return Wrong((Complaint(scrubbed(said, values, hidden_texts(raw)), "", whole=True),))


def plan(cls: type[object]) -> Section:
    """Compile a settings class, once. Raises `TypeError` for a class that cannot hold settings."""
    if not isinstance(cls, type):
        raise TypeError(f"settings are given as their class, not as a {type(cls).__name__}: load(Settings, sources)")
    return _plan(cast(Hashable, cls))  # a class is, but mypy sees `object.__hash__` unbound


@lru_cache(maxsize=256)
def _plan(cls: type[object]) -> Section:
    return _section(cls, ())


def _section(cls: type[object], within: Within) -> Section:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"settings are a frozen dataclass, {cls!r} is none: write @dataclass(frozen=True) above it")
    if not cls.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise TypeError(f"{cls.__qualname__} is not frozen: write @dataclass(frozen=True) above it")
    if cls in within:
        raise TypeError(f"{cls.__qualname__} holds itself: settings are nested to a fixed depth")
    resolved = hints(cls)
    needed = [
        name for name, hint in resolved.items() if isinstance(hint, dataclasses.InitVar) and not hasattr(cls, name)
    ]
    if needed:
        raise TypeError(f"{cls.__qualname__}.{needed[0]} is an InitVar, which no setting is: make it a field")
    fields = tuple(_field(cls, one, resolved[one.name], (*within, cls)) for one in dataclasses.fields(cls) if one.init)
    keys = tuple(key for field in fields for key in _keys(field))
    return Section(cls, fields, frozenset(field.name for field in fields), keys)


def _keys(field: Field) -> Iterator[Key]:
    if field.section is None:
        yield (field.name,)
        yield from ((field.name, mark) for mark in field.kind.beneath)
    else:
        yield from ((field.name, *key) for key in field.section.keys)


def _field(owner: type[object], field: dataclasses.Field[object], hint: object, within: Within) -> Field:
    bare, rules = _without_rules(hint)
    inner, optional = _without_none(bare)
    if isinstance(inner, type) and dataclasses.is_dataclass(inner):
        if rules:
            raise TypeError(f"{owner.__qualname__}.{field.name} is a section with rules: let its __post_init__ raise")
        section = _section(inner, within)
        # The class as its own factory adds nothing, and would fail where a source gives what has no default.
        factory: object = field.default_factory
        default = None if factory is inner and not optional else _default(field)
        return Field(field.name, _section_kind(section), default, section, optional)
    try:
        return Field(field.name, kind_of(hint, within), _default(field))
    except _Unreadable as error:
        message = f"{owner.__qualname__}.{field.name} has the type {error}, which no setting can have"
    raise TypeError(message)


def _default(field: dataclasses.Field[object]) -> Callable[[], object] | None:
    if field.default_factory is not MISSING:
        return field.default_factory
    if field.default is MISSING:
        return None
    value = field.default
    return lambda: value


def _without_rules(hint: object) -> tuple[object, Sequence[Rule]]:
    """Take `X` and its rules out of `Annotated[X, ...]`; what is no function is metadata of others."""
    if get_origin(hint) is not Annotated:
        return hint, ()
    inner, *metadata = get_args(hint)
    return inner, [rule for rule in metadata if callable(rule) and not isinstance(rule, type)]


def _without_none(hint: object) -> tuple[object, bool]:
    """Take `X` out of `X | None`."""
    if get_origin(hint) in (Union, types.UnionType):
        others = [one for one in get_args(hint) if one is not type(None)]
        if len(others) == 1 and len(get_args(hint)) == 2:
            return others[0], True
    return hint, False


class _Unreadable(TypeError):
    """A type that no setting can have."""


def kind_of(hint: object, within: Within) -> Kind:
    """Find how a type is read."""
    hint = _unwrapped(hint)
    scalar = _SCALARS.get(hint) if isinstance(hint, type) else None
    if scalar is not None:
        return scalar
    if isinstance(hint, type) and get_origin(hint) is None:
        return _class_kind(hint, within)
    if hint is None:
        return kinds.NONE
    return _generic_kind(hint, within)


def _unwrapped(hint: object) -> object:
    """Look through `NewType` and the `type` statement."""
    for name in ("__supertype__", "__value__"):
        if not isinstance(hint, type) and hasattr(hint, name):
            return _unwrapped(getattr(hint, name))
    return hint


def _class_kind(cls: type[object], within: Within) -> Kind:
    if issubclass(cls, Enum):
        return kinds.member(cls)
    if cls is Secret:
        return kinds.secret(kinds.STR)
    if dataclasses.is_dataclass(cls):
        return _section_kind(_section(cls, within))
    if cls in (list, tuple, dict):
        raise _Unreadable(f"{cls.__name__} without the type of its items")
    raise _Unreadable(cls.__qualname__)


def _section_kind(section: Section) -> Kind:
    expected = f"a table of settings ({', '.join(field.name for field in section.fields)})"
    kind = Kind(section.read, expected, "a table of settings", beneath=kinds.NAMES)
    return kinds.hiding(kind, [field.kind for field in section.fields])


def _generic_kind(hint: object, within: Within) -> Kind:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, rules = _without_rules(hint)
        return ruled(kind_of(inner, within), rules)
    if origin is Literal:
        return kinds.choice(args)
    if origin is Secret:
        return kinds.secret(kind_of(args[0], within))
    if origin in (Union, types.UnionType):
        members = [kind_of(one, within) for one in args if one is not type(None)]
        return kinds.either(members, optional=type(None) in args)
    return _container_kind(hint, within)


def _container_kind(hint: object, within: Within) -> Kind:
    origin, args = get_origin(hint), get_args(hint)
    if not args:
        raise _Unreadable(f"{hint} without the type of its items")
    if origin is list:
        return kinds.items(kind_of(args[0], within), list)
    if origin is tuple and len(args) == 2 and args[1] is ...:
        return kinds.items(kind_of(args[0], within), tuple)
    if origin is tuple:
        return kinds.row([kind_of(one, within) for one in args])
    if origin is dict and args[0] is str:
        return kinds.table(kind_of(args[1], within))
    raise _Unreadable(str(hint))


def ruled(kind: Kind, rules: Sequence[Rule]) -> Kind:
    """Add rules to a kind: each sees the value as it was read, and all that one value breaks is one complaint."""
    discreet = ", ".join([kind.discreet, *map(_quietly, filter(_is_ours, rules))])
    expected = discreet if kind.secret else ", ".join([kind.expected, *map(str, filter(_is_ours, rules))])

    def read(raw: object) -> object:
        value = kind.read(raw)
        if type(value) is Wrong:
            return Wrong(tuple(one if one.trail else one._replace(expected=expected) for one in value.complaints))
        said = [(rule, text) for rule in rules if (text := _asked(rule, value)) is not None]
        if not said:
            return value
        theirs = scrubbed(", ".join(text for rule, text in said if not _is_ours(rule)), value)
        complaint = f"{expected}, {theirs}" if theirs else expected
        return Wrong((Complaint(complaint, HIDDEN if kind.secret else found(raw)),))

    return kind._replace(read=read, expected=expected, discreet=discreet)


def _is_ours(rule: object) -> bool:
    return isinstance(rule, Pattern | MinLength | MaxLength | Between | OneOf)


def _quietly(rule: object) -> str:
    return "one of the allowed values" if isinstance(rule, OneOf) else str(rule)


def _asked(rule: Rule, value: object) -> str | None:
    try:
        said = rule(value)
    except Exception as error:  # noqa: BLE001 - a rule is the user's; its own failure must not show the value
        name = getattr(rule, "__name__", type(rule).__name__)
        return f"a value that the rule {name} can judge (it raised {type(error).__name__})"
    return None if said is None else str(said)
