"""Where the keys of a JSON file stand: `json` gives the values, this the lines. Only for text that `json` has read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from heykit.config.files import Lines
from heykit.config.protocol import Trail

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],]|[^\s{}\[\],":]+')


def line_of_second_key(text: str) -> int | None:
    """Find the key that stands in its object a second time."""
    seen: set[Trail] = set()
    for trail, line in _places(text):
        if trail in seen:
            return line
        seen.add(trail)
    return None


def locate(text: str) -> Lines:
    """Find the line of every key and of every item of a list in a text that is valid JSON."""
    return dict(_places(text))


def _places(text: str) -> Iterator[tuple[Trail, int]]:
    # For each open object or array its current key or index; None where a key comes next.
    trail: list[str | int | None] = []
    line, last = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", last, token.start())
        last = token.start()
        mark = token[0][0]
        at = trail[-1] if trail else None
        if mark in "}]":
            trail.pop()
        elif mark == ",":
            trail[-1] = at + 1 if isinstance(at, int) else None
        elif mark == '"' and trail and at is None:
            trail[-1] = json.loads(token[0])
            yield _trail(trail), line
        else:
            if isinstance(at, int):
                yield _trail(trail), line
            if mark in "{[":
                trail.append(None if mark == "{" else 0)


def _trail(steps: list[str | int | None]) -> Trail:
    return tuple(step for step in steps if step is not None)
