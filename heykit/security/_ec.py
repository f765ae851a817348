"""ECDSA (RFC 7518 §3.4, §6.2): signatures are two numbers of a fixed length, and points lie on their curve."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from heykit.errors import KeyRefused
from heykit.security import _base64url, _jwk
from heykit.security._algorithms import Spec
from heykit.security._hashes import hash_of
from heykit.security._key import Sign, Verify

_CURVES: Final[Mapping[str, ec.EllipticCurve]] = MappingProxyType(
    {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
)
# NIST SP 800-186 §3.2.1: the primes of the fields, below which coordinates are.
_FIELDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "P-256": 2**256 - 2**224 + 2**192 + 2**96 - 1,
        "P-384": 2**384 - 2**128 - 2**96 + 2**32 - 1,
        "P-521": 2**521 - 1,
    }
)


def generate(spec: Spec) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(_CURVES[spec.curves[0]])


def read(jwk: Mapping[str, object], spec: Spec) -> ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey:
    """Read a key from its members."""
    name = _jwk.text(jwk, "crv")
    if name not in spec.curves:
        raise KeyRefused(f"This EC key is on another curve than {spec.curves[0]}.")
    curve = _CURVES[name]
    x, y = (_number(jwk, each, curve) for each in ("x", "y"))
    # SEC 1 §2.3.5: an element of the field is below its prime; one key has one spelling.
    if max(x, y) >= _FIELDS[name]:
        raise KeyRefused("The point of this EC key is not on its curve.")
    public = ec.EllipticCurvePublicNumbers(x, y, curve)
    try:
        if "d" not in jwk:
            return public.public_key()
        numbers = ec.EllipticCurvePrivateNumbers(_number(jwk, "d", curve), public)
        private = numbers.private_key()
    except ValueError:
        raise KeyRefused("The point of this EC key is not on its curve, or `d` is not its private number.") from None
    # RFC 7518 §6.2.2.1, SEC 1 §3.2.1: d is from 1 to n - 1; OpenSSL takes larger ones modulo n.
    if private.private_numbers() != numbers:
        raise KeyRefused("`d` of this EC key is larger than its curve has.")
    return private


def name_of(curve: ec.EllipticCurve) -> str:
    return next((name for name, each in _CURVES.items() if each.name == curve.name), curve.name)


def signer(key: ec.EllipticCurvePrivateKey, spec: Spec) -> Sign:
    how, size = ec.ECDSA(hash_of(spec.hash_name)), _size(key.curve)

    def sign(data: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(data, how))
        return r.to_bytes(size) + s.to_bytes(size)

    return sign


def verifier(key: ec.EllipticCurvePublicKey, spec: Spec) -> Verify:
    how, size = ec.ECDSA(hash_of(spec.hash_name)), _size(key.curve)

    def verify(data: bytes, signature: bytes) -> bool:
        # RFC 7518 §3.4: two numbers of the curve's size, and nothing else.
        if len(signature) != 2 * size:
            return False
        r, s = int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        try:
            key.verify(encode_dss_signature(r, s), data, how)
        except InvalidSignature:
            return False
        return True

    return verify


def public_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers, size = key.public_numbers(), _size(key.curve)
    x, y = (_base64url.encode(number.to_bytes(size)).decode("ascii") for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": name_of(key.curve), "x": x, "y": y}


def _number(jwk: Mapping[str, object], name: str, curve: ec.EllipticCurve) -> int:
    octets = _jwk.octets(jwk, name)
    # RFC 7518 §6.2.1.2: the full size of a coordinate, leading zeros and all.
    if len(octets) != _size(curve):
        raise KeyRefused(f"`{name}` of an EC key on {name_of(curve)} has {_size(curve)} bytes.")
    return int.from_bytes(octets)


def _size(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8
