"""JSON objects as tokens need them: the same bytes mean the same to every reader, or they are refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from json.encoder import encode_basestring
from json.scanner import make_scanner
from typing import NoReturn


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    # RFC 7515 §4, RFC 7519 §4: names within an object must be unique; readers differ on which duplicate counts.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _no_constant(name: str) -> NoReturn:
    # RFC 8259 §6: Infinity and NaN are not permitted.
    raise ValueError("not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number too large")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
_SCAN = make_scanner(_DECODER)  # type: ignore[arg-type]  # typeshed takes another for a decoder
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# The end of a string may lack, so that one without is read once and not from each of its quotes.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_DEEPEST = 64
_CONTAINERS = (dict, list, tuple)


def parse_object(data: bytes) -> dict[str, object]:
    """Parse one JSON object; whatever else the bytes hold is a ValueError."""
    # RFC 8259 §8.1: JSON is UTF-8. `json.loads` would take UTF-16 and UTF-32 as well.
    text = data.decode("utf-8")
    if ("[" in text or text.find("{", 1) > 0) and text.count("[") + text.count("{") > _DEEPEST:
        _refuse_depth(text)
    try:
        # Nearly always there is no space before or after, and what would skip it takes a quarter of the time.
        value: object
        end: int
        value, end = _SCAN(text, 0)
        if end != len(text):
            value = _DECODER.decode(text)
        if "\\u" in text:
            _refuse_lone_surrogates(value)
    except StopIteration:  # as the scanner says that there is no value here: a space, maybe
        value = _spaced(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for all that can be wrong with the bytes
    return value


def _spaced(text: str) -> object:
    try:
        value: object = _DECODER.decode(text)
        _refuse_lone_surrogates(value)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def write_object(members: Mapping[str, object]) -> bytes:
    """Write what `parse_object` reads back; what is not JSON is a ValueError."""
    written = _written_flat(members)
    if written is not None:
        return written.encode("utf-8")
    plain = dict(members)
    try:
        _refuse_odd_names(plain)
        text = _ENCODER.encode(plain)
    except (TypeError, RecursionError):
        raise ValueError("not a JSON value") from None
    _refuse_depth(text)
    return text.encode("utf-8")


def _written_flat(members: Mapping[str, object]) -> str | None:
    """Write an object of strings and whole numbers alone, as most claims are; `None` for any other."""
    parts = []
    for name, value in members.items():
        if type(name) is not str:
            return None
        kind = type(value)
        if isinstance(value, str) and kind is str:
            parts.append(f"{encode_basestring(name)}:{encode_basestring(value)}")
        elif kind is int:
            parts.append(f"{encode_basestring(name)}:{value}")
        else:
            return None
    return f"{{{','.join(parts)}}}"


def _refuse_depth(text: str) -> None:
    # How deep the stdlib reads differs from one Python to the next; what is a token must not.
    depth = 0
    for character in _STRING.sub("", text):
        depth += (character in "[{") - (character in "]}")
        if depth > _DEEPEST:
            raise ValueError("nested too deep")


def _refuse_lone_surrogates(value: object) -> None:
    # RFC 7493 §2.1: no unpaired surrogates; such a string fails wherever it is written as UTF-8.
    _ENCODER.encode(value).encode("utf-8")


def _refuse_odd_names(value: Mapping[object, object] | Iterable[object]) -> None:
    # The stdlib writes 1, True and None as names, and so can write one name twice.
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise ValueError("a name that is no string")
        value = value.values()
    for member in value:
        if isinstance(member, _CONTAINERS):
            _refuse_odd_names(member)
