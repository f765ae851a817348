"""EdDSA (RFC 8037): Ed25519 and Ed448."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from heykit.errors import KeyRefused
from heykit.security import _base64url, _jwk
from heykit.security._key import Sign, Verify

Public: TypeAlias = ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
Private: TypeAlias = ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey

_SIZES: Final[Mapping[str, int]] = MappingProxyType({"Ed25519": 32, "Ed448": 57})  # bytes, of either part
# RFC 8032 §5.1, §5.2: y of a point is below this.
_FIELDS: Final[Mapping[str, int]] = MappingProxyType({"Ed25519": 2**255 - 19, "Ed448": 2**448 - 2**224 - 1})
# y of the points whose order divides 8: what they verify anybody can sign.
_ORDER_8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7
_SMALL: Final = frozenset({0, 1, _ORDER_8, _FIELDS["Ed25519"] - _ORDER_8})


def generate() -> Private:
    return ed25519.Ed25519PrivateKey.generate()


def read(jwk: Mapping[str, object]) -> Public | Private:
    """Read a key from its members."""
    curve = _jwk.text(jwk, "crv")
    if curve not in _SIZES:
        raise KeyRefused("An OKP key for signatures is on Ed25519 or Ed448.")
    x = _part(jwk, "x", curve)
    check(curve, x)
    try:
        if "d" not in jwk:
            return _public(curve, x)
        private = _private(curve, _part(jwk, "d", curve))
    except ValueError:
        raise KeyRefused("`x` or `d` of this OKP key is none.") from None
    if private.public_key().public_bytes_raw() != x:
        raise KeyRefused("`x` and `d` of this OKP key do not belong together.")
    return private


def check(curve: str, x: bytes) -> None:
    """Refuse points that are written in another way than theirs, and those for which there is no secret."""
    y = int.from_bytes(x, "little") & ~(1 << 8 * len(x) - 1)  # the first bit is the sign of the other coordinate
    p = _FIELDS[curve]
    # RFC 8032 §5.1.3, §5.2.3: decoding fails where y is p or more. RFC 8725 §3.4: validate cryptographic inputs.
    if y >= p or y == p - 1 or y in (_SMALL if curve == "Ed25519" else {0, 1}):
        raise KeyRefused(f"`x` of this key is no point on {curve} that has a secret: anybody could sign for it.")


def curve_of(key: Public) -> str:
    return "Ed25519" if isinstance(key, ed25519.Ed25519PublicKey) else "Ed448"


def signer(key: Private) -> Sign:
    return key.sign


def verifier(key: Public) -> Verify:
    def verify(data: bytes, signature: bytes) -> bool:
        try:
            key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    return verify


def public_members(key: Public) -> dict[str, str]:
    return {"kty": "OKP", "crv": curve_of(key), "x": _base64url.encode(key.public_bytes_raw()).decode("ascii")}


def _part(jwk: Mapping[str, object], name: str, curve: str) -> bytes:
    octets = _jwk.octets(jwk, name)
    if len(octets) != _SIZES[curve]:
        raise KeyRefused(f"`{name}` of an OKP key on {curve} has {_SIZES[curve]} bytes.")
    return octets


def _public(curve: str, x: bytes) -> Public:
    if curve == "Ed25519":
        return ed25519.Ed25519PublicKey.from_public_bytes(x)
    return ed448.Ed448PublicKey.from_public_bytes(x)


def _private(curve: str, d: bytes) -> Private:
    if curve == "Ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(d)
    return ed448.Ed448PrivateKey.from_private_bytes(d)
