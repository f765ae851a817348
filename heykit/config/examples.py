"""A template of all settings, as a commented TOML file, as variables, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum
from math import isfinite
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias

from heykit.config.kinds import Wrong
from heykit.config.mask import holds_text, is_sensitive, masked
from heykit.config.plan import Field, Section, made, plan
from heykit.config.protocol import Key
from heykit.config.secret import Secret

Form: TypeAlias = Literal["toml", "env", "json"]


_NO_DEFAULT: Final = object()
_UNTOLD: Final = object()
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class _Line(NamedTuple):
    """One setting of a template.

    `default` is as JSON has it, `_NO_DEFAULT` for what must be set, `_UNTOLD` for a secret.
    """

    key: Key
    expected: str
    default: object
    optional: int = 0
    """How many names lead to the section that need not be there at all, if it stands in one."""


def example(settings: type[object], form: Form, *, prefix: str = "", separator: str = "__") -> str:
    """Write a template of a settings class: each setting with what is expected and its default.

    What has a default is commented out in TOML and variables; JSON has no comments, and so holds the defaults. Secrets,
    and URLs with a password in them, are left empty, and where they have a default, out of JSON.
    """
    found = [*_lines(plan(settings), (), _NO_DEFAULT)]
    if form == "json":
        return json.dumps(_table(found), indent=2, ensure_ascii=False) + "\n"
    lines = _toml(found) if form == "toml" else _variables(found, prefix, separator)
    return "\n".join(lines).strip("\n") + "\n"


def _lines(section: Section, within: Key, base: object, *, optional: int = 0) -> Iterator[_Line]:
    """Give the settings of a section before those of the sections in it; their defaults are those of `base`."""
    for field in sorted(section.fields, key=lambda field: field.section is not None):
        key = (*within, field.name)
        default = _default(field, base)
        if field.section is None:
            yield _Line(key, " ".join(field.kind.expected.split()), _told(field, default), optional)
        else:
            beneath = _NO_DEFAULT if default is None else default
            leads = optional or (len(key) if default is None else 0)
            yield from _lines(field.section, key, beneath, optional=leads)


def _told(field: Field, default: object) -> object:
    if default is _NO_DEFAULT or default is None:
        return default
    told = _plain(default)
    hides = field.kind.secret or _has_password("" if field.kind.closed else field.name, told)
    return _UNTOLD if hides else told


def _default(field: Field, base: object) -> object:
    if base is not _NO_DEFAULT:
        return getattr(base, field.name)
    value = None if field.default is None else made(field.default)
    return _NO_DEFAULT if field.default is None or type(value) is Wrong else value


def _toml(lines: Sequence[_Line]) -> Iterator[str]:
    within: Key = ()
    for line in lines:
        if line.key[:-1] != within:
            within = line.key[:-1]
            yield from ("", f"{'# ' if line.optional else ''}[{'.'.join(map(_toml_name, within))}]")
        default = "" if line.default is _NO_DEFAULT else line.default
        # Whoever takes the mark away must say what: TOML has no null, and a secret is not told.
        value = "" if default is _UNTOLD or _has_none(default) else _toml_value(default)
        yield from _setting(line, f"{_toml_name(line.key[-1])} = {value}".rstrip())


def _variables(lines: Sequence[_Line], prefix: str, separator: str) -> Iterator[str]:
    within: Key = ()
    for line in lines:
        if line.key[:-1] != within:
            within = line.key[:-1]
            yield from ("", f"# {'.'.join(within)}")
        value = "" if line.default in (_NO_DEFAULT, _UNTOLD, None) else line.default
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield from _setting(line, f"{prefix}{separator.join(line.key).upper()}={_quoted(text)}")


def _setting(line: _Line, written: str) -> Iterator[str]:
    is_needed = line.default is _NO_DEFAULT
    yield f"# {line.expected}{'; needed' if is_needed else ''}"
    yield written if is_needed and not line.optional else f"# {written}"


def _table(lines: Sequence[_Line]) -> dict[str, object]:
    table: dict[str, object] = {}
    for line in lines:
        key = line.key[: line.optional] if line.optional else line.key
        held = table
        for name in key[:-1]:
            inner = held.setdefault(name, {})
            assert isinstance(inner, dict)
            held = inner
        if line.optional or (line.default is not _UNTOLD and not _is_beyond_json(line.default)):
            held[key[-1]] = None if line.optional else "" if line.default is _NO_DEFAULT else line.default
    return table


def _is_beyond_json(value: object) -> bool:
    # RFC 8259, section 6: infinity and NaN are no numbers of JSON.
    if isinstance(value, list | dict):
        return any(map(_is_beyond_json, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and not isfinite(value)


def _has_password(name: str, value: object) -> bool:
    if is_sensitive(name) and holds_text(value):
        return True
    if isinstance(value, dict):
        return any(_has_password(each, item) for each, item in value.items())
    if isinstance(value, list):
        return any(_has_password("", item) for item in value)
    return isinstance(value, str) and masked(value) != value


def _has_none(value: object) -> bool:
    if isinstance(value, list | dict):
        return any(map(_has_none, value.values() if isinstance(value, dict) else value))
    return value is None


def _plain(value: object) -> object:  # noqa: PLR0911 - one line for each type
    match value:
        case Secret():
            return ""
        case Enum():
            # Of a value that JSON does not have only the name is read.
            return value.value if isinstance(value.value, str | int | float | None) else value.name
        case timedelta():
            whole, rest = divmod(value, timedelta(seconds=1))
            return f"{value // timedelta(microseconds=1)}us" if rest else f"{whole}s"
        case Path():
            return str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
        case _ if is_dataclass(value):
            return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        case _:
            return str(value)


def _toml_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_toml_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{_toml_text(name)} = {_toml_value(item)}' for name, item in value.items())}}}"
        case str():
            return _toml_text(value)
        case _:
            return repr(value)


def _toml_name(name: str) -> str:
    return name if name.isascii() else _toml_text(name)


def _toml_text(text: str) -> str:
    return f'"{"".join(_escaped(letter) for letter in text)}"'


def _escaped(letter: str) -> str:
    # TOML 1.0, "String": of the control characters only the tab may stand there.
    return _ESCAPES.get(letter) or (f"\\u{ord(letter):04X}" if letter < " " or letter == "\x7f" else letter)


def _quoted(text: str) -> str:
    if text and all(letter.isalnum() or letter in "-_./:@,+" for letter in text):
        return text
    return f'"{"".join(_ESCAPES.get(letter, letter) for letter in text)}"' if text else ""
