"""Which names a file store takes: a pure function over text."""

from __future__ import annotations

import re

from heykit.errors import NameRefused

_LONGEST_NAME = 1024
_LONGEST_PART = 255  # NAME_MAX of the common file systems, in bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")


def parts_of(name: str) -> tuple[str, ...]:
    """Split a name into its parts, at most 1024 bytes of UTF-8 in all and 255 in each.

    Raises NameRefused for one that is not a plain relative path.
    """
    fault = _fault(name)
    if fault:
        raise NameRefused(f"{name[:80]!r} cannot name a file of the store: {fault}")
    return tuple(name.split("/"))


def _fault(name: str) -> str:
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode text"
    if size > _LONGEST_NAME:
        return f"it is longer than {_LONGEST_NAME} bytes"
    if "\\" in name or _CONTROL.search(name):
        return "it holds a backslash or a control character"
    if _DRIVE.match(name):
        return "it begins with a drive"
    return next(filter(None, map(_fault_of_part, name.split("/"))), "")


def _fault_of_part(part: str) -> str:
    if not part:
        return "it has an empty part; write it as a relative path such as 'videos/7.svg'"
    if part.startswith("."):
        return "a part begins with a dot, as '..' and the store's own files do"
    if len(part.encode()) > _LONGEST_PART:
        return f"a part is longer than {_LONGEST_PART} bytes"
    return ""
