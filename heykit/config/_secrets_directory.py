"""Settings from a directory with a file for each, as Docker and Kubernetes mount secrets."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from heykit.config.mask import printable
from heykit.config.naming import Naming
from heykit.config.protocol import Key, Layer, OpenSource
from heykit.config.variables import Place, Variables
from heykit.errors import ConfigFault

_LONGEST = 1024 * 1024  # bytes


def secrets_directory(path: str | Path, *, required: bool = True) -> OpenSource:
    """Take settings from files like `/run/secrets/database__password`: the name is the key, the content the value.

    Names are in upper or lower case, their parts joined by `__`. One line end at the end of a file is left out; hidden
    files, such as those by which Kubernetes changes all at once, are too. What comes from here is shown to nobody,
    whatever its type. A file that nearly spells a setting is a fault, others are warned of. A directory that is missing
    is a fault if `required`.
    """
    if not str(path):
        raise ValueError("the path of the directory is empty, which would be the working directory")
    return _Secrets(Path(path), Variables(Naming("", "__", "warn", owns_all=True)), required=required)


class _Secrets:
    def __init__(self, path: Path, reader: Variables, *, required: bool) -> None:
        self._path, self._reader, self._required = path, reader, required

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        names = self._reader.names(keys)
        texts, place, faults = self._found()
        layer = self._reader.layer(names, texts, place, hidden=True)
        return replace(layer, faults=[*faults, *layer.faults])

    def read_all(self) -> Layer:
        texts, place, faults = self._found()
        layer = self._reader.everything(texts, place, hidden=True)
        return replace(layer, faults=[*faults, *layer.faults])

    def _found(self) -> tuple[Mapping[str, str], Place, list[ConfigFault]]:
        texts: dict[str, str] = {}
        files: dict[str, str] = {}
        faults: list[ConfigFault] = []
        for file in self._files(faults):
            name = file.name.upper()
            text = self._text(file, faults)
            if name in texts:
                faults.append(_fault(file, "one file for each setting", "another in other letters"))
            elif text is not None:
                texts[name], files[name] = text, file.name

        def place(name: str) -> str:
            return printable(str(self._path / files.get(name, name.lower())))

        return texts, place, faults

    def _files(self, faults: list[ConfigFault]) -> list[Path]:
        try:
            names = sorted(os.listdir(self._path))  # noqa: PTH208 - names that are no paths of ours stay text
        except FileNotFoundError:
            if self._required:
                faults.append(_fault(self._path, "a directory, or required=False", "no such directory"))
            return []
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            faults.append(_fault(self._path, "a directory that can be read", reason))
            return []
        files = [self._path / name for name in names if not name.startswith(".")]
        return [file for file in files if _is_file(file, faults)]

    def _text(self, file: Path, faults: list[ConfigFault]) -> str | None:
        try:
            with file.open("rb") as opened:
                data = opened.read(_LONGEST + 1)
        except OSError as error:
            faults.append(_fault(file, "a file that can be read", error.strerror or type(error).__name__))
            return None
        if len(data) > _LONGEST:
            faults.append(_fault(file, f"a file of up to {_LONGEST} bytes", "a larger one"))
            return None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            faults.append(_fault(file, "text in UTF-8", "bytes of another encoding"))
            return None
        return text.removesuffix("\n").removesuffix("\r")


def _is_file(path: Path, faults: list[ConfigFault]) -> bool:
    """Tell whether there is a plain file: to read a pipe would wait for whoever writes it."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        faults.append(_fault(path, "a file that can be read", error.strerror or type(error).__name__))
        return False


def _fault(path: Path, expected: str, found: str) -> ConfigFault:
    return ConfigFault("", expected, printable(str(path)), found)
