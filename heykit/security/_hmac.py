"""HMAC (RFC 2104): what signs and what verifies, from a secret that is stored nowhere."""

from __future__ import annotations

import hashlib
from hmac import compare_digest

from heykit.security._key import Sign, Verify

_INNER, _OUTER = (bytes(byte ^ mask for byte in range(256)) for mask in (0x36, 0x5C))


def signer_and_verifier(secret: bytes, hash_name: str) -> tuple[Sign, Verify]:
    # RFC 2104 §4: both pads are hashed once, and each message starts from copies of that: half the time of `hmac`.
    inner, outer = hashlib.new(hash_name), hashlib.new(hash_name)
    # RFC 2104 §2: a key longer than a block is hashed, a shorter one filled up with zeros.
    filled = secret if len(secret) <= inner.block_size else hashlib.new(hash_name, secret).digest()
    filled = filled.ljust(inner.block_size, b"\0")
    inner.update(filled.translate(_INNER))
    outer.update(filled.translate(_OUTER))
    inner_copy, outer_copy = inner.copy, outer.copy

    def sign(data: bytes) -> bytes:
        within, around = inner_copy(), outer_copy()
        within.update(data)
        around.update(within.digest())
        return around.digest()

    def verify(data: bytes, signature: bytes) -> bool:
        # RFC 7518 §3.2: compare in constant time.
        return compare_digest(sign(data), signature)

    return sign, verify
