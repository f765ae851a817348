"""Durations, as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from heykit.config.kinds import NO, scalar

_DURATION = r"(?P<amount>[0-9]+(?:\.[0-9]+)?)\s*(?P<unit>ms|us|[wdhms])\s*"
# Compiled on first use, and kept by `re`: most programs read no duration.
_SECONDS = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DAYS = timedelta(days=1)
_UNITS = {
    "w": 7 * _DAYS,
    "d": _DAYS,
    "h": _DAYS / 24,
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "us": timedelta(microseconds=1),
}


def _duration_text(text: str) -> object:
    text = text.strip()
    try:
        if re.fullmatch(_SECONDS, text):
            return timedelta(seconds=float(text))
        size, sign = text.removeprefix("-"), -1 if text.startswith("-") else 1
        parts = list(re.finditer(_DURATION, size))
        if not parts or "".join(part[0] for part in parts) != size:
            return NO
        return sign * sum((_amount(part["amount"]) * _UNITS[part["unit"]] for part in parts), timedelta())
    except (OverflowError, ValueError):
        return NO


def _amount(text: str) -> float:
    return float(text) if "." in text else int(text)


def _duration_value(raw: object) -> object:
    match raw:
        case timedelta():
            return raw
        case str():
            return _duration_text(raw)
        case bool():
            return NO
        case int() | float():
            try:
                return timedelta(seconds=raw)
            except (OverflowError, ValueError):
                return NO
        case _:
            return NO


DURATION = scalar("duration, like 30s or 1h30m or a number of seconds", _duration_text, _duration_value)
