"""Keys of two halves, whatever their type: read, checked, bound to their algorithm."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from heykit.errors import KeyRefused
from heykit.security import _ec, _okp, _rsa
from heykit.security._algorithms import SPECS, Spec
from heykit.security._key import Algorithm, Key, Sign, Verify, made_key

Public: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | _okp.Public
Private: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | _okp.Private

_CURVE_NAME: Final = re.compile(rb"-----BEGIN EC PARAMETERS-----.*?-----END EC PARAMETERS-----", re.DOTALL)
_BLOCK: Final = re.compile(rb"-----BEGIN [^\n]*-----\s(?:[^\n]*:[^\n]*\n)*([A-Za-z0-9+/=\s]*)-----END ")
# Object identifiers in DER: RFC 4055 §3.1 and §2.1.
_RSASSA_PSS: Final = bytes.fromhex("06092a864886f70d01010a")
_HASHES: Final = MappingProxyType(
    {
        name: bytes.fromhex(f"06096086480165030402{last}")
        for name, last in (("sha256", "01"), ("sha384", "02"), ("sha512", "03"))
    }
)
_PRIVATE = (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)
_PUBLIC = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)


def from_jwk(jwk: Mapping[str, object], algorithm: Algorithm, id: str | None, operations: frozenset[str]) -> Key:
    spec = SPECS[algorithm]
    if spec.kty == "RSA":
        return _key(_rsa.read(jwk), algorithm, id, operations)
    if spec.kty == "EC":
        return _key(_ec.read(jwk, spec), algorithm, id, operations)
    return _key(_okp.read(jwk), algorithm, id, operations)


def from_pem(pem: bytes, algorithm: Algorithm, id: str | None, password: bytes | None) -> Key:
    # OpenSSL writes the name of the curve in a block of its own before the key.
    pem = _CURVE_NAME.sub(b"", pem)
    if pem.count(b"-----BEGIN ") != 1:
        raise KeyRefused("Give exactly one key in PEM, from its BEGIN line to its END line.")
    try:
        if b"PRIVATE KEY-----" in pem:
            loaded: object = serialization.load_pem_private_key(pem, password)
        else:
            loaded = serialization.load_pem_public_key(pem)
    except TypeError:
        raise KeyRefused("The key is encrypted and there is no password, or the other way round.") from None
    except Exception:  # noqa: BLE001 - OpenSSL's reasons are many, and hold nothing that helps
        raise KeyRefused("This is not a key in PEM (PKCS#8, SPKI), or the password is not its own.") from None
    _check_pss(pem, SPECS[algorithm], algorithm)
    if isinstance(loaded, (*_PRIVATE, *_PUBLIC)):
        return _key(loaded, algorithm, id, frozenset({"sign", "verify"}))
    raise KeyRefused("A key of this type is for no algorithm here.")


def _check_pss(pem: bytes, spec: Spec, algorithm: Algorithm) -> None:
    """Refuse a key for RSASSA-PSS where it is for something else; of an encrypted one nobody can tell."""
    block = _BLOCK.search(pem)
    try:
        der = b"" if block is None else b64decode(b"".join(block[1].split()))
    except ValueError:
        return
    if _RSASSA_PSS not in der:
        return
    # RFC 4055 §1.2: such a key is for RSASSA-PSS alone, and where it names a hash for that hash.
    named = {name for name, oid in _HASHES.items() if oid in der}
    if not spec.is_pss or (named and named != {spec.hash_name}):
        raise KeyRefused(f"This key says that it is for RSASSA-PSS, maybe with one hash: it is not for {algorithm}.")


def generated(algorithm: Algorithm, id: str | None) -> Key:
    spec = SPECS[algorithm]
    made: Private = (
        _rsa.generate() if spec.kty == "RSA" else _ec.generate(spec) if spec.kty == "EC" else _okp.generate()
    )
    return _key(made, algorithm, id, frozenset({"sign", "verify"}))


def _key(loaded: Public | Private, algorithm: Algorithm, id: str | None, operations: frozenset[str]) -> Key:
    private = loaded if isinstance(loaded, _PRIVATE) else None
    public = loaded.public_key() if isinstance(loaded, _PRIVATE) else loaded
    _check_fit(public, algorithm)
    members = MappingProxyType(
        {**_members(public), "alg": algorithm, "use": "sig", **({} if id is None else {"kid": id})}
    )
    sign = None if private is None or "sign" not in operations else _signer(private, algorithm)
    verify = _verifier(public, algorithm) if "verify" in operations else None
    if sign is None and verify is None:
        raise KeyRefused("A public key can only verify, and `key_ops` of this one does not let it.")
    return made_key(algorithm, id, sign, verify, members)


def _check_fit(public: Public, algorithm: Algorithm) -> None:
    spec = SPECS[algorithm]
    if isinstance(public, rsa.RSAPublicKey):
        _rsa.check(public.public_numbers())
        is_fit = spec.kty == "RSA"
    elif isinstance(public, ec.EllipticCurvePublicKey):
        is_fit = spec.kty == "EC" and _ec.name_of(public.curve) in spec.curves
    else:
        _okp.check(_okp.curve_of(public), public.public_bytes_raw())
        is_fit = spec.kty == "OKP"
    if not is_fit:
        raise KeyRefused(f"A key of this type or on this curve is not for {algorithm}.")


def _members(public: Public) -> dict[str, str]:
    if isinstance(public, rsa.RSAPublicKey):
        return _rsa.public_members(public)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _ec.public_members(public)
    return _okp.public_members(public)


def _signer(private: Private, algorithm: Algorithm) -> Sign:
    spec = SPECS[algorithm]
    if isinstance(private, rsa.RSAPrivateKey):
        return _rsa.signer(private, spec)
    if isinstance(private, ec.EllipticCurvePrivateKey):
        return _ec.signer(private, spec)
    return _okp.signer(private)


def _verifier(public: Public, algorithm: Algorithm) -> Verify:
    spec = SPECS[algorithm]
    if isinstance(public, rsa.RSAPublicKey):
        return _rsa.verifier(public, spec)
    if isinstance(public, ec.EllipticCurvePublicKey):
        return _ec.verifier(public, spec)
    return _okp.verifier(public)
