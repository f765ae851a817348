"""Addresses of what is outside."""

from __future__ import annotations

import re

from heykit.config.kinds import NO, scalar

# RFC 3986 §3.1, §2: a scheme, and no space and no control character anywhere.
_URL = r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\x00-\x1f\x7f]+"


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


URL = scalar("URL, like https://host/path", _from_text, lambda raw: _from_text(raw) if isinstance(raw, str) else NO)
