"""Showing values to people without showing secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import timedelta
from enum import Enum

from heykit.config.packed import unpacked
from heykit.config.protocol import Text, Trail
from heykit.config.secret import Secret

HIDDEN = "***"

_LONGEST = 80
# Compiled on first use, and kept by `re`.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.\-]*://"
# What stands before the path of a URL that has lost its `@host`: what follows the colon is no port, so a password.
_NO_PORT = r"(?<=://)(?!\[)[^/?#@]*:(?!\d*(?:[/?#,]|$))[^@]*"
# From one mark to the next only, so that a long text takes no longer than its length.
_PARAMETER = r"(?:^|(?<=[?&;,|{#\s]))[^?=:&;,|{#\s]++\s*+[=:]\s*+"
_SENSITIVE = r"(?i)password|passphrase|passwd|pwd|secret|token|signature|(?:key|sig|pass|auth|\bpw)s?(?![a-z])"
_NAMED_SO = r"(?i)(?:password|passphrase|passwd|pwd|secret|token|signature|key|sig|pass|auth|\bpw)s?\Z"
# To the next `&` or `;` that is not quoted: a password may hold a space.
_VALUE = r"(?:'[^']*'|\"[^\"]*\"|\{[^}]{0,99}\}|[^&;])++"


def masked(text: str) -> str:
    """Hide the user info of a URL, well-formed or not, and parameters that are named like secrets.

    All before the *last* `@` is hidden: a password may hold `/` and `@` though RFC 3986 (section 3.2.1) forbids it.
    """
    head, at, tail = text.rpartition("@")
    if at and (":" in head or "/" in head):
        scheme = re.match(_SCHEME, head)
        text = f"{scheme[0] if scheme else ''}{HIDDEN}@{tail}"
    else:
        text = re.sub(_NO_PORT, HIDDEN, text)
    return _without_parameters(text)


def is_sensitive(name: str) -> bool:
    """Tell whether a setting of this name holds a secret, whatever its type: `password`, `api_key`, `apiToken`."""
    return re.search(_NAMED_SO, name) is not None


def without_passwords(said: str) -> str:
    """Hide in a sentence what `masked` hides in a text, word by word, so that the sentence stays."""
    return re.sub(r"\S+", lambda word: masked(word[0]), said)


def _without_parameters(text: str) -> str:
    parts, at = [], 0
    for name in re.finditer(_PARAMETER, text):
        if name.start() < at or not re.search(_SENSITIVE, name[0]):
            continue
        value = re.compile(_VALUE).match(text, name.end())
        if value is not None:
            parts += [text[at : name.end()], HIDDEN]
            at = value.end()
    return "".join([*parts, text[at:]])


def printable(text: str) -> str:
    """Give text as it is where every character can be printed, else escaped: a terminal obeys control characters."""
    return text if text.isprintable() else repr(text)


def shown(value: object) -> str:  # noqa: PLR0911 - one line for each type
    """Show a setting's value as a person would write it, masked."""
    match value:
        case Secret():
            return HIDDEN
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case Enum():
            return shown(value.value)
        case str():
            return printable(masked(value))
        case timedelta():
            return f"{value / timedelta(seconds=1):.15g}s"
        case list() | tuple():
            return HIDDEN if _is_cut(value) else f"[{', '.join(map(shown, value))}]"
        case Mapping():
            return f"{{{', '.join(f'{shown(key)}: {shown_as(key, item)}' for key, item in value.items())}}}"
        case _ if is_dataclass(value):
            held = ((each.name, getattr(value, each.name)) for each in fields(value))
            return f"{{{', '.join(f'{name}: {shown_as(name, item)}' for name, item in held)}}}"
        case _:
            return printable(masked(_written(value)))


def shown_as(name: object, value: object) -> str:
    """Show a setting's value, but none of its texts where it is named like a secret."""
    return HIDDEN if isinstance(name, str) and is_sensitive(name) and holds_text(value) else shown(value)


def holds_text(value: object) -> bool:
    """Tell whether a value is text, or has text in it; what a program names in an enumeration is none."""
    if isinstance(value, Mapping):
        return any(map(holds_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_text, value))
    return isinstance(value, str) and value != "" and not isinstance(value, Enum)


def _is_cut(items: Sequence[object]) -> bool:
    """Tell whether a comma in the password of a URL has made items of its parts."""
    texts = [item for item in items if isinstance(item, str) and ("@" in item) is not ("://" in item)]
    return any("@" in text for text in texts) and any("://" in text for text in texts)


def _written(value: object) -> str:
    try:
        return str(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"a very large {type(value).__name__}"


def found(raw: object) -> str:
    """Show what stood in place of what was expected: text and numbers masked and cut short, else only the type."""
    match raw:
        case Text(hidden=True):
            return HIDDEN
        case Text(value=text) | str(text):
            return _short(repr(masked(text)))
        case None | bool() | int() | float():
            return _short(shown(raw))
        case Mapping():
            return "a table"
        case list() | tuple():
            return "a list"
        case _:
            return f"a {type(raw).__name__}"


def hidden_texts(raw: object) -> Iterator[str]:
    """Give every text in a raw value that is shown to nobody, and its parts: JSON, or items between commas."""
    if type(raw) is Text:
        if raw.hidden:
            yield raw.value
            yield from _parts(unpacked(raw.value))
            yield from (part.strip() for part in raw.value.split(",") if "," in raw.value)
        yield from hidden_texts(raw.below)
    elif isinstance(raw, Mapping):
        yield from (text for each in raw.values() for text in hidden_texts(each))
    elif isinstance(raw, list | tuple):
        yield from (text for each in raw for text in hidden_texts(each))


def _parts(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (part for each in value.values() for part in _parts(each))
    elif isinstance(value, list):
        yield from (part for each in value for part in _parts(each))
    elif value is not None and not isinstance(value, bool):
        yield _written(value)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def dotted(trail: Trail) -> str:
    """Write the way to a value as people do: `servers[0].host`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{printable(masked(step))}" for step in trail)
    return "".join(steps).removeprefix(".")
