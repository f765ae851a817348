"""What a text holds: JSON, or items between commas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from heykit.config.protocol import Text

DEEPEST = 64
"""How deep tables and lists may be nested: each level is a call within a call."""
_FLAT: Final = frozenset({Text, str, int, float, bool, type(None)})


class Twice(Exception):
    """An object has a key twice: one of the two values would be lost."""


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Twice
    return table


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def unpacked(text: str) -> object:
    """Read JSON; None where it is none, has a key twice or is nested too deep."""
    try:
        found: object = DECODER.decode(text)
    except (ValueError, RecursionError, Twice):
        return None
    # What has so few brackets cannot be nested deeper.
    return None if text.count("{") + text.count("[") > DEEPEST and is_too_deep(found) else found


def listed(raw: object) -> Sequence[object] | None:
    """Take the items out of a list, or out of text that stands for one."""
    if type(raw) is not Text:
        return raw if isinstance(raw, list | tuple) else None
    text = raw.value.strip()
    if text.startswith("["):
        found = unpacked(text)
        return found if isinstance(found, list) else None
    # A comma in a password cuts a URL into parts of which no longer each looks like one.
    hidden = raw.hidden or ("@" in text and "/" in text)
    return [Text(part.strip(), hidden=hidden) for part in text.split(",")] if text else []


def is_too_deep(value: object) -> bool:
    """Tell whether tables and lists are nested deeper than `DEEPEST`; also of those that hold themselves."""
    level: Iterable[object] = [value]
    for _ in range(DEEPEST):
        # What several hold is looked into once.
        inside = {id(each): each for holder in level for each in _held(holder) if type(each) not in _FLAT}
        if not inside:
            return False
        level = inside.values()
    return True


def _held(holder: object) -> Iterable[object]:
    if isinstance(holder, Mapping):
        return holder.values()
    return holder if isinstance(holder, list | tuple) else ()
