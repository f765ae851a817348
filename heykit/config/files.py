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
        text = self._text()
        if isinstance(text, ConfigFault):
            return self._empty(text)
        if text is None:
            return self._empty()
        values = self._parse(text)
        if isinstance(values, Broken):
            return self._empty(self._fault(f"valid {self._format}", values.reason, values.line))
        if not isinstance(values, dict):
            return self._empty(self._fault("a table of settings", f"a {type(values).__name__}", 1))
        return Layer(values, self._origins(text))

    def _text(self) -> str | ConfigFault | None:
        try:
            data = Path(self._path).read_bytes()
        except FileNotFoundError:
            missing = self._fault("a file, or required=False where it is declared", "no such file")
            return missing if self._required else None
        except OSError as error:
            return self._fault("a file that can be read", error.strerror or type(error).__name__)
        except ValueError:
            return self._fault("a path", "a null character in it")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
        return self._fault(f"valid {self._format} in UTF-8", "bytes of another encoding", line)

    def _fault(self, expected: str, found: str, line: int | None = None) -> ConfigFault:
        return ConfigFault("", expected, self._place(line), found)

    def _place(self, line: int | None) -> str:
        name = printable(str(self._path))
        return name if line is None else f"{name}:{line}"

    def _empty(self, *faults: ConfigFault) -> Layer:
        return Layer({}, lambda _: self._place(None), faults)

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
