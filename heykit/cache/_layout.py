"""What a cache's keys in Redis are called, and what its values look like there: pure functions over bytes.

Under the cache's prefix lie the values, by their own keys, and what belongs to none of them under `#`:

    PREFIX key          a value, behind the stamps it holds under
    PREFIX #generation  the stamp of all: another one, and nothing written before is true
    PREFIX #tag:NAME    the stamp of what has this tag
    PREFIX #lock:KEY    who loads this value now

A value is true while each of its stamps is what the key of that stamp holds; to drop a stamp is to drop all under it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

STAMP: Final = 8  # bytes, random
GENERATION: Final = b"#generation"
TAG: Final = b"#tag:"
_MAGIC: Final = b"\x93hk\x01"
_LONGEST: Final = 512  # bytes; longer names are cut to their digest, so that a client's text does not fill Redis


class Layout:
    """The names under one prefix."""

    def __init__(self, prefix: str) -> None:
        if not prefix:
            raise ValueError("prefix must not be empty: it tells the keys of this cache from all others")
        self.prefix: Final = prefix.encode()
        self.generation: Final = self.prefix + GENERATION
        escaped = re.sub(rb"([\\*?\[\]])", rb"\\\1", self.prefix)
        self.everything: Final = escaped + b"*"

    def value(self, key: str) -> bytes:
        return self.prefix + _short(key)

    def lock(self, key: str) -> bytes:
        return self.prefix + b"#lock:" + _short(key)

    def tag(self, tag: str) -> bytes:
        return self.prefix + TAG + _short(tag)

    def name(self, key: bytes) -> bytes:
        """Give what a key of ours is called without the prefix."""
        return key[len(self.prefix) :]


def is_short(name: str) -> bool:
    """Tell whether a key or tag stands in Redis as it is, so that it can be known from there."""
    return not name.startswith("#") and len(name) <= _LONGEST // 4


def _short(name: str) -> bytes:
    encoded = name.encode(errors="surrogatepass")
    if len(encoded) <= _LONGEST and not encoded.startswith(b"#"):
        return encoded
    return b"#:" + sha256(encoded).hexdigest().encode()


def head(stamps: Sequence[bytes]) -> bytes:
    """Write what stands before a value."""
    return _MAGIC + len(stamps).to_bytes(2) + b"".join(stamps)


def body(stamps: Sequence[bytes], data: bytes) -> bytes | None:
    """Give what stands behind exactly these stamps; None where the bytes are another's, or hold no longer."""
    before = head(stamps)
    return data[len(before) :] if data.startswith(before) else None
