"""Sizes in bytes, as people write them."""

from __future__ import annotations

import re

from heykit.config.kinds import NO, scalar

# IEC 80000-13: kB is a thousand bytes and KiB are 1,024.
_UNITS = {"": 1, "b": 1, **{f"{unit}b": 1000 ** (at + 1) for at, unit in enumerate("kmgtp")}}
_UNITS |= {f"{unit}i{b}": 1024 ** (at + 1) for at, unit in enumerate("kmgtp") for b in ("b", "")}
_SIZE = r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)"
_LONGEST = 40  # characters


class ByteSize(int):
    """A number of bytes, written "10 MiB", "1.5 GB" or "4096"."""


def _from_text(text: str) -> object:
    plain = text.strip()
    found = re.fullmatch(_SIZE, plain, re.ASCII) if len(plain) <= _LONGEST else None
    unit = None if found is None else _UNITS.get(found[2].lower())
    if found is None or unit is None:
        return NO
    whole, _, part = found[1].partition(".")
    size, rest = divmod(int(whole + part) * unit, 10 ** len(part))
    return NO if rest else ByteSize(size)


def _from_value(raw: object) -> object:
    if isinstance(raw, str):
        return _from_text(raw)
    return ByteSize(raw) if type(raw) in (int, ByteSize) and raw >= 0 else NO  # type: ignore[operator,call-overload]


SIZE = scalar("size in bytes, like 10 MiB or 4096", _from_text, _from_value)
