"""base64url without padding, strictly: for each byte string there is exactly one text."""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64

# RFC 4648 §5: `-` and `_` stand for `+` and `/`. What belongs to §4 alone becomes a byte that no alphabet has.
_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/???")
_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")

# By characters beyond the last whole four: the padding to add, and the characters whose spare bits are zero.
_WHOLE, _HALF, _MOST = 0, 2, 3
_ENDS_OF_HALF = frozenset(b"AQgw")
_ENDS_OF_MOST = frozenset(b"AEIMQUYcgkosw048")


def encode(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).translate(_FROM_STANDARD, b"=")


def decode(text: bytes) -> bytes:
    """Decode; junk, line breaks, padding and spare bits that are not zero are a ValueError."""
    rest = len(text) % 4
    standard = text.translate(_TO_STANDARD)
    if rest == _WHOLE:
        return a2b_base64(standard, strict_mode=True)
    # RFC 4648 §3.5: decoders may refuse an encoding whose pad bits are not zero; else one token has many spellings.
    if rest == _MOST and text[-1] in _ENDS_OF_MOST:
        return a2b_base64(standard + b"=", strict_mode=True)
    if rest == _HALF and text[-1] in _ENDS_OF_HALF:
        return a2b_base64(standard + b"==", strict_mode=True)
    raise ValueError("no base64url")
