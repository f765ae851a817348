"""Settings from a `.env` file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from heykit.config.files import Broken, broken, text_of
from heykit.config.mask import printable
from heykit.config.naming import Naming
from heykit.config.protocol import Key, Layer, OpenSource
from heykit.config.variables import Place, Variables
from heykit.errors import ConfigFault

_FORMAT = "lines of NAME=value"
_NAME = re.compile(r"[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_.\-]*)[ \t]*=[ \t]*")
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'", "$": "$"}


def dotenv(path: str | Path, prefix: str = "", *, required: bool = True) -> OpenSource:
    r"""Take settings from a `.env` file, named as variables are: `HEYGEN_DATABASE__URL=...` with the prefix `HEYGEN_`.

    A line is a name and a value, with or without `export`; `#` begins a comment, after a value when a space is before
    it. In single quotes everything stands for itself; in double quotes `\n`, `\t`, `\"` and the like are characters.
    Both may go on over several lines. Nothing is put in for `$NAME`. A name that stands twice is a fault, and names are
    judged as variables are. Nothing is put into the environment. A file that is missing is a fault if `required`.
    """
    return _Dotenv(Path(path), Variables(Naming(prefix, "__", "warn", owns_all=True)), required=required)


class _Dotenv:
    def __init__(self, path: Path, reader: Variables, *, required: bool) -> None:
        self._path, self._reader, self._required = path, reader, required

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        names, found = self._reader.names(keys), self._found()
        return found if isinstance(found, Layer) else self._reader.layer(names, *found)

    def read_all(self) -> Layer:
        found = self._found()
        return found if isinstance(found, Layer) else self._reader.everything(*found)

    def _found(self) -> tuple[Mapping[str, str], Place] | Layer:
        text = text_of(self._path, _FORMAT, required=self._required)
        if text is None:
            return Layer({}, lambda _: printable(str(self._path)))
        if isinstance(text, ConfigFault):
            return self._empty(text)
        parsed, bad = parse(text)
        if bad:
            return self._empty(*(broken(self._path, _FORMAT, each) for each in bad))
        return {name: value for name, (value, _) in parsed.items()}, self._place(parsed)

    def _place(self, parsed: Mapping[str, tuple[str, int]]) -> Place:
        file = printable(str(self._path))

        def place(name: str) -> str:
            return f"{file}:{parsed[name][1]} {name}" if name in parsed else f"{file} {name}"

        return place

    def _empty(self, *faults: ConfigFault) -> Layer:
        return Layer({}, lambda _: f"{printable(str(self._path))} (not read)", faults)


def parse(text: str) -> tuple[Mapping[str, tuple[str, int]], Sequence[Broken]]:
    """Read names with their values and lines, and what is broken."""
    text = text.replace("\r\n", "\n")
    found: dict[str, tuple[str, int]] = {}
    bad: list[Broken] = []
    at = counted = 0
    line = 1
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        blank = _REST.match(text, at)
        if blank is not None:
            at = max(blank.end(), at + 1)
            continue
        named = _NAME.match(text, at)
        value, end = (None, at) if named is None else _value(text, named.end())
        rest = None if value is None else _REST.match(text, end)
        if named is None:
            bad.append(Broken(line, "no name before a ="))
        elif value is None or rest is None:
            bad.append(Broken(line, "a quote that is not closed, or something behind it"))
        elif named[1] in found:
            bad.append(Broken(line, "a name that stands twice"))
        else:
            found[named[1]] = (value, line)
        # After what is broken the next line is read: there may be more.
        after = text.find("\n", at)
        at = rest.end() if rest is not None else len(text) if after < 0 else after + 1
    return found, bad


def _value(text: str, at: int) -> tuple[str | None, int]:
    """Read a value and where it ends; `None` for a quote without its end."""
    quote = text[at : at + 1]
    if quote == "'":
        end = text.find("'", at + 1)
        return (None, at) if end < 0 else (text[at + 1 : end], end + 1)
    if quote == '"':
        quoted = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL).match(text, at)
        return (None, at) if quoted is None else (_unescaped(quoted[1]), quoted.end())
    end = text.find("\n", at)
    plain = text[at : len(text) if end < 0 else end]
    comment = re.search(r"[ \t]#", plain)
    if plain.startswith("#") and text[at - 1] in " \t":
        return "", at
    bare = plain[: comment.start()] if comment else plain
    return bare.strip(" \t\r"), at + len(bare)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), text, flags=re.DOTALL)
