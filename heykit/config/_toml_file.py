"""Settings from a TOML file."""

from __future__ import annotations

import re
from pathlib import Path

from heykit.config.files import Broken, File, Lines
from heykit.config.protocol import Source


def toml_file(path: str | Path, *, required: bool = True) -> Source:
    """Take settings from a TOML 1.0 file. A file that is missing is a fault if `required`."""
    return File(path, required=required, format="TOML", parse=parse, locate=_locate)


def parse(text: str) -> object:
    """Read TOML, or say where it is broken."""
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return Broken(_line(str(error), text), _reason(str(error)))
    except RecursionError:
        return Broken(None, "too deep a nesting")
    except ValueError:  # a date that no calendar has, an integer of more digits than Python reads
        return Broken(None, "a number or date out of range")


def _line(message: str, text: str) -> int:
    at = re.search(r"\(at line (\d+), column \d+\)$", message)
    return int(at[1]) if at else text.rstrip("\n").count("\n") + 1


def _reason(message: str) -> str:
    # Quoted names and characters are parts of the file: only the parser's own punctuation may stand in quotes.
    words = re.match(r"(?:[^'\"(]|'[=\]]+')*", message)
    return words[0].strip() if words else ""


def _locate(text: str) -> Lines:
    # The lines are needed only for faults and explanations.
    from heykit.config.toml_lines import locate

    return locate(text)
