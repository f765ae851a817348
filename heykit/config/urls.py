"""Addresses of what is outside."""

from __future__ import annotations

import re

from heykit.config.kinds import NO, Complaint, Kind, Wrong, scalar
from heykit.config.mask import HIDDEN, found
from heykit.config.protocol import Text

# RFC 3986 §3.1, §2: a scheme, and no space and no control character anywhere.
_URL = r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\x00-\x1f\x7f]+"

# A host, a port and a path at most, with or without a scheme.
_HARMLESS = r"(?:[A-Za-z][A-Za-z0-9+.\-]*:?//?)?[A-Za-z0-9_.\-]*(?::[0-9]{1,6})?(?:/[A-Za-z0-9_.\-/]*)?"


class Url(str):
    """A URL: a scheme, `://`, and a host or a path; a port is one."""

    __slots__ = ()


def _from_text(text: str) -> object:
    from urllib.parse import urlsplit

    if not re.fullmatch(_URL, text):
        return NO
    try:
        parts = urlsplit(text)
        has_place = bool(parts.hostname or parts.path.strip("/")) and not (parts.netloc and not parts.hostname)
        parts.port  # noqa: B018 - raises for what is none
    except ValueError:
        return NO
    return Url(text) if has_place else NO


_URL_OR_NOT = scalar(
    "URL, like https://host/path", _from_text, lambda raw: _from_text(raw) if isinstance(raw, str) else NO
)


def _read(raw: object) -> object:
    value = _URL_OR_NOT.read(raw)
    return Wrong((Complaint(_URL_OR_NOT.expected, _found(raw)),)) if type(value) is Wrong else value


def _found(raw: object) -> str:
    """Show what is no URL only where it can hold no password, wherever in it that may stand."""
    text = raw.value if type(raw) is Text else raw
    return HIDDEN if isinstance(text, str) and not re.fullmatch(_HARMLESS, text) else found(raw)


URL = Kind(_read, _URL_OR_NOT.expected, _URL_OR_NOT.discreet)
