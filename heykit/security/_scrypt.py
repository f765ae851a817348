"""scrypt (RFC 7914), for where OpenSSL has no Argon2. Everything here takes a while and belongs in a thread."""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

name = "scrypt"


@dataclass(frozen=True)
class _Cost:
    log_n: int
    block: int
    lanes: int

    @property
    def memory(self) -> int:
        """Bytes, RFC 7914 §2."""
        return 128 * self.block * ((1 << self.log_n) + self.lanes)


# OWASP Password Storage Cheat Sheet: N=2^17, r=8, p=1, which takes 128 MiB.
_COST = _Cost(log_n=17, block=8, lanes=1)
_STORED = re.compile(
    r"\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9])\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43,86})"
)
# What a stored hash may ask for: about 256 MiB, one lane after another.
_MOST_MEMORY = 2**28 + 2**20
_SPARE_MEMORY = 2**20  # what OpenSSL wants beside the blocks


def hashed(password: bytes, salt: bytes) -> str:
    derived = _derived(password, salt, _COST, 32)
    return f"$scrypt$ln={_COST.log_n},r={_COST.block},p={_COST.lanes}${_text(salt)}${_text(derived)}"


def reads(stored: str) -> bool:
    """True if the text is a hash of this kind whose parameters are bounded; nothing is derived before that."""
    found = _STORED.fullmatch(stored)
    return found is not None and _cost(found).memory * _cost(found).lanes <= _MOST_MEMORY


def is_current(stored: str) -> bool:
    """True if a hash that is read took at least the work of those made now."""
    found = _STORED.fullmatch(stored)
    return found is not None and _cost(found).memory * _cost(found).lanes >= _COST.memory


def matches(password: bytes, stored: str) -> bool:
    found = _STORED.fullmatch(stored)
    if found is None:
        return False
    try:
        salt, expected = _octets(found[4]), _octets(found[5])
        return hmac.compare_digest(_derived(password, salt, _cost(found), len(expected)), expected)
    except ValueError:
        return False


def _cost(found: re.Match[str]) -> _Cost:
    return _Cost(log_n=int(found[1]), block=int(found[2]), lanes=int(found[3]))


def _derived(password: bytes, salt: bytes, cost: _Cost, length: int) -> bytes:
    # Without `maxmem` OpenSSL stops at 32 MiB.
    memory = cost.memory + _SPARE_MEMORY
    return hashlib.scrypt(
        password, salt=salt, n=1 << cost.log_n, r=cost.block, p=cost.lanes, maxmem=memory, dklen=length
    )


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii").rstrip("=")


def _octets(text: str) -> bytes:
    return b64decode(text + "=" * (-len(text) % 4), validate=True)
