"""Argon2id (RFC 9106) through OpenSSL 3.2 or newer. Everything here works for about 30 ms and belongs in a thread."""

from __future__ import annotations

import re

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

name = "Argon2id"

# OWASP Password Storage Cheat Sheet: m=19456 KiB, t=2, p=1. (argon2-cffi: 65536, 3, 4.)
_MEMORY = 19_456
_PASSES = 2
_LANES = 1

_STORED = re.compile(
    r"\$argon2id\$v=19\$m=([1-9][0-9]{0,6}),t=([1-9][0-9]{0,2}),p=([1-9][0-9]?)"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,86}"
)
# What a stored hash may ask for: 256 MiB, and no more work than about a second.
_MOST_MEMORY = 262_144
_MOST_WORK = 1_048_576  # KiB times passes
_MOST_LANES = 16


def supported() -> bool:
    """True if this OpenSSL has Argon2 at all: the smallest derivation tells."""
    try:
        Argon2id(salt=bytes(16), length=16, iterations=1, lanes=1, memory_cost=8).derive(b"")
    except UnsupportedAlgorithm:
        return False
    return True


def hashed(password: bytes, salt: bytes) -> str:
    kdf = Argon2id(salt=salt, length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY)
    return kdf.derive_phc_encoded(password)


def reads(stored: str) -> bool:
    """True if the text is a hash of this kind whose parameters are bounded; nothing is derived before that."""
    found = _STORED.fullmatch(stored)
    if found is None:
        return False
    memory, passes, lanes = map(int, found.groups())
    return 8 * lanes <= memory <= _MOST_MEMORY and memory * passes <= _MOST_WORK and lanes <= _MOST_LANES


def is_current(stored: str) -> bool:
    """True if a hash that is read took at least the memory and the passes of those made now."""
    found = _STORED.fullmatch(stored)
    return found is not None and int(found[1]) >= _MEMORY and int(found[2]) >= _PASSES


def matches(password: bytes, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, stored)
    except (InvalidKey, ValueError):
        return False
    return True
