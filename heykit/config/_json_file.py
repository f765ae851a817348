"""Settings from a JSON file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from heykit.config.files import Broken, File, Lines
from heykit.config.packed import DECODER, Twice
from heykit.config.protocol import Source


def json_file(path: str | Path, *, required: bool = True) -> Source:
    """Take settings from a JSON object in a file (RFC 8259, UTF-8). A file that is missing is a fault if `required`."""
    return File(path, required=required, format="JSON", parse=parse, locate=_locate)


def parse(text: str) -> object:
    """Read JSON, or say where it is broken."""
    try:
        values: object = DECODER.decode(text)
    except Twice:
        return Broken(_line_of_second_key(text), "a key that stands twice")
    except json.JSONDecodeError as error:
        return Broken(error.lineno, error.msg.removesuffix(": "))
    except RecursionError:
        return Broken(None, "too deep a nesting")
    except ValueError:  # Python refuses to read integers of more than some thousand digits
        return Broken(_line_of_long_number(text), "too long a number")
    return values


def _line_of_long_number(text: str) -> int | None:
    longest = max(re.finditer(r"\d+", text, re.ASCII), key=lambda match: match.end() - match.start(), default=None)
    return None if longest is None else text.count("\n", 0, longest.start()) + 1


def _line_of_second_key(text: str) -> int | None:
    from heykit.config.json_lines import line_of_second_key

    return line_of_second_key(text)


def _locate(text: str) -> Lines:
    # The lines are needed only for faults and explanations.
    from heykit.config.json_lines import locate

    return locate(text)
