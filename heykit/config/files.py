"""What the sources of files share: read, decode, parse, and every failure of these is a fault with file and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

from heykit.config.mask import printable
from heykit.config.protocol import Key, Layer, Trail
from heykit.errors import ConfigFault

Lines: TypeAlias = Mapping[Trail, int]


class Broken(NamedTuple):
    """A text that cannot be parsed: the line (None if unknown), and the reason in words that quote nothing of it."""

    line: int | None
    reason: str


class File:
    """A file of settings. `parse` gives its values or what is broken; `locate` the line of every key and item."""

    def __init__(
        self,
        path: str | Path,
        *,
        required: bool,
        format: str,
        parse: Callable[[str], object],
        locate: Callable[[str], Lines],
    ) -> None:
        self._path, self._required, self._format = path, required, format
        self._parse, self._locate = parse, locate

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        text = text_of(self._path, self._format, required=self._required)
        if isinstance(text, ConfigFault):
            return self._empty(text)
        if text is None:
            return self._none()
        values = self._parse(text)
        if isinstance(values, Broken):
            return self._empty(broken(self._path, self._format, values))
        if not isinstance(values, dict):
            return self._empty(ConfigFault("", "a table of settings", self._place(1), f"a {type(values).__name__}"))
        return Layer(values, self._origins(text))

    def _place(self, line: int | None) -> str:
        return place(self._path, line)

    def _empty(self, fault: ConfigFault) -> Layer:
        # What is missing may well stand there.
        return Layer({}, lambda _: f"{self._place(None)} (not read)", [fault])

    def _none(self) -> Layer:
        return Layer({}, lambda _: self._place(None))

    def read_all(self) -> Layer:
        return self.read(())

    def _origins(self, text: str) -> Callable[[Trail], str]:
        # Lines are looked for only when somebody asks: a load without faults never does.
        @cache
        def lines() -> Lines:
            try:
                return self._locate(text)
            except RecursionError:
                return {}

        def origin(trail: Trail) -> str:
            known = lines()
            while trail and trail not in known:
                trail = trail[:-1]
            return self._place(known.get(trail))

        return origin


def text_of(path: str | Path, format: str, *, required: bool) -> str | ConfigFault | None:
    """Read the text of a file, or say what is wrong with it; `None` for one that may be missing and is."""
    if not str(path):
        return ConfigFault("", "a path", format, "an empty one")
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        missing = ConfigFault("", "a file, or required=False where it is declared", place(path), "no such file")
        return missing if required else None
    except OSError as error:
        return ConfigFault("", "a file that can be read", place(path), error.strerror or type(error).__name__)
    except ValueError:
        return ConfigFault("", "a path", place(path), _bad_character(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
    return ConfigFault("", f"valid {format} in UTF-8", place(path, line), "bytes of another encoding")


def _bad_character(path: str | Path) -> str:
    return "a null character in it" if "\0" in str(path) else "a character in it that no path has"


def broken(path: str | Path, format: str, what: Broken) -> ConfigFault:
    """Say that a text cannot be parsed, and where."""
    return ConfigFault("", f"valid {format}", place(path, what.line), what.reason)


def place(path: str | Path, line: int | None = None) -> str:
    """Write where something stands in a file."""
    name = printable(str(path))
    return name if line is None else f"{name}:{line}"
