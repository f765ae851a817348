"""Signed bytes in compact form (RFC 7515).

token = jws.sign(b"any bytes", key)
jws.verify(token, key)
"""

from __future__ import annotations

from heykit.security import _compact
from heykit.security.keys import Key, KeySet

__all__ = ["sign", "verify"]


def sign(payload: bytes, key: Key | KeySet) -> str:
    """Sign bytes with a key, or the first of a set that may; the header names its algorithm and id.

    :raises TokenError: the token would have more than 16,384 characters
    :raises KeyRefused: the key may only verify
    """
    return _compact.write(payload, key)


def verify(token: str | bytes, keys: Key | KeySet) -> bytes:
    """Give the payload of a token that one of these keys signed.

    :raises TokenError: `token.too_long`, `token.malformed`, `token.key` or `token.signature`
    """
    _, payload = _compact.read(token, keys)
    return payload
