"""A template of all settings, as a commented TOML file, as variables, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Literal, TypeAlias

from heykit.config.plan import Field, Section, plan
from heykit.config.protocol import Key
from heykit.config.secret import Secret

Form: TypeAlias = Literal["toml", "env", "json"]


def example(settings: type[object], form: Form, *, prefix: str = "", separator: str = "__") -> str:
    """Write a template of a settings class: each setting with what is expected and its default; secrets are left empty.

    What has a default is commented out in TOML and variables; JSON has no comments, and so holds the defaults.
    """
    section = plan(settings)
    if form == "json":
        return json.dumps(_table(section), indent=2) + "\n"
    lines = _toml(section, ()) if form == "toml" else _variables(section, (), prefix, separator)
    return "\n".join(lines).strip("\n") + "\n"


def _toml(section: Section, within: Key) -> Iterator[str]:
    if within:
        yield from ("", f"[{'.'.join(within)}]")
    for field in section.fields:
        if field.section is None:
            yield from _comment(field)
            written = f"{field.name} = {_toml_value(_default(field))}"
            yield written if _is_needed(field) else f"# {written}"
    for field in section.fields:
        if field.section is not None:
            yield from _toml(field.section, (*within, field.name))


def _variables(section: Section, within: Key, prefix: str, separator: str) -> Iterator[str]:
    for field in section.fields:
        key = (*within, field.name)
        if field.section is not None:
            yield from ("", f"# {'.'.join(key)}")
            yield from _variables(field.section, key, prefix, separator)
            continue
        yield from _comment(field)
        value = _default(field)
        text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
        written = f"{prefix}{separator.join(key).upper()}={_quoted(text)}"
        yield written if _is_needed(field) else f"# {written}"


def _comment(field: Field) -> Iterator[str]:
    needed = "; needed" if _is_needed(field) else ""
    yield f"# {' '.join(field.kind.expected.split())}{needed}"


def _table(section: Section) -> dict[str, object]:
    return {
        field.name: _table(field.section) if field.section is not None else _default(field) for field in section.fields
    }


def _is_needed(field: Field) -> bool:
    return field.default is None


def _default(field: Field) -> object:
    """Give a default as JSON has it; an empty text for what has none, or is secret."""
    if field.default is None or field.kind.secret:
        return ""
    return _plain(field.default())


def _plain(value: object) -> object:  # noqa: PLR0911 - one line for each type
    match value:
        case Secret():
            return ""
        case Enum():
            return _plain(value.value)
        case timedelta():
            return f"{value / timedelta(seconds=1):.15g}s"
        case Path():
            return str(value)
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict():
            return {str(name): _plain(item) for name, item in value.items()}
        case None | bool() | int() | float() | str():
            return value
        case _:
            return str(value)


def _toml_value(value: object) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_toml_value, value))}]"
        case dict():
            return f"{{{', '.join(f'{json.dumps(name)} = {_toml_value(item)}' for name, item in value.items())}}}"
        case float():
            return repr(value).replace("infinity", "inf")
        case _:
            return json.dumps(value)


def _quoted(text: str) -> str:
    plain = text and not text.startswith("#") and all(letter.isalnum() or letter in '-_./:@,+[]{}"' for letter in text)
    if plain and text[0] not in "\"'":
        return text
    return "'" + text + "'" if text and "'" not in text else json.dumps(text) if text else ""
