"""Keys for tokens: each is checked when it is loaded and bound to one algorithm for good.

A token's header may choose among *your* keys by `kid`, never the algorithm: taking a public key for a shared secret
cannot be written down. An algorithm that is not implemented has no key.

    key = key_from_secret(settings.secret_key.reveal(), id="2026-11")
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeGuard

from heykit.errors import KeyRefused
from heykit.security import _json, _jwk
from heykit.security._hmac import signer_and_verifier
from heykit.security._key import Algorithm, Key, KeySet

__all__ = [
    "Algorithm",
    "Key",
    "KeySet",
    "generate_key",
    "key_from_jwk",
    "key_from_secret",
    "key_set",
    "key_set_from_jwks",
]


@dataclass(frozen=True)
class _Hmac:
    hash_name: str
    length: int  # bytes


_HMAC: Mapping[Algorithm, _Hmac] = MappingProxyType({"HS256": _Hmac("sha256", 32)})
_PUBLIC = frozenset({"RSA", "EC", "OKP"})
_KEY_FILES = (b"-----BEGIN", b"---- BEGIN", b"ssh-", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-")


def key_from_secret(secret: bytes | str, *, algorithm: Algorithm = "HS256", id: str | None = None) -> Key:
    """Build a key from a shared secret of at least 32 bytes (text counts in UTF-8).

    :raises KeyRefused: too short, a public key by mistake, or an algorithm unknown here
    """
    return _hmac_key(_octets(secret), algorithm, id)


def generate_key(
    algorithm: Algorithm = "HS256", *, id: str | None = None, entropy: Callable[[int], bytes] = os.urandom
) -> Key:
    """Generate a key that lives as long as this process: nobody can read its secret back."""
    return _hmac_key(entropy(_HMAC[_known(algorithm)].length), algorithm, id)


def key_from_jwk(jwk: Mapping[str, object], *, algorithm: Algorithm | None = None) -> Key:
    """Build a key from a JSON Web Key (RFC 7517).

    `algorithm` is needed where the key has no `alg`, and must be the same where it has one.

    :raises KeyRefused: malformed, too weak, not for signatures, or an algorithm unknown here
    """
    if _jwk.text(jwk, "kty") != "oct":
        raise KeyRefused("A JSON Web Key of this `kty` is unknown here: it must be `oct`.")
    operations = _jwk.operations(jwk)
    if not operations:
        raise KeyRefused("This JSON Web Key is not for signatures: its `use` or `key_ops` say so.")
    bound = _bound_algorithm(_jwk.optional_text(jwk, "alg"), algorithm)
    return _hmac_key(_jwk.octets(jwk, "k"), bound, _jwk.optional_text(jwk, "kid"), operations)


def key_set(keys: Iterable[Key]) -> KeySet:
    """Gather keys among which a token's `kid` chooses.

    :raises KeyRefused: two keys have the same id or both none, or there is no key
    """
    by_id: dict[str | None, Key] = {}
    for key in keys:
        if key.id in by_id:
            raise KeyRefused("Two keys of the set have the same id, or both have none: give each its own.")
        by_id[key.id] = key
    if not by_id:
        raise KeyRefused("The set holds no usable key, so no token could be verified: add one.")
    return KeySet(MappingProxyType(by_id))


def key_set_from_jwks(jwks: Mapping[str, object], *, algorithms: Collection[Algorithm] | None = None) -> KeySet:
    """Build a set from a JWK Set (RFC 7517 §5): its keys for signatures by `algorithms` (`None`: by any known here).

    Keys of other types, for other algorithms or for encryption are skipped. Where `algorithms` holds just one, a key
    without `alg` is bound to it.

    :raises KeyRefused: a key is malformed or too weak, an id stands twice, secrets are mixed with public keys
    """
    wanted: list[Algorithm] = [_known(algorithm) for algorithm in (_HMAC if algorithms is None else algorithms)]
    members = _jwk.members(jwks)
    _refuse_mixture(members)
    only = wanted[0] if algorithms is not None and len(wanted) == 1 else None
    return key_set(
        key_from_jwk(member, algorithm=None if "alg" in member else only)
        for member in members
        if _is_usable(member, wanted)
    )


def _is_usable(jwk: Mapping[str, object], wanted: Collection[str]) -> bool:
    # RFC 7517 §5: ignore keys of types not understood; `alg` is judged in the same way.
    if jwk["kty"] != "oct" or not _jwk.operations(jwk):
        return False
    alg = _jwk.optional_text(jwk, "alg")
    return alg is None or alg in wanted


def _refuse_mixture(members: Iterable[Mapping[str, object]]) -> None:
    types = {member["kty"] for member in members}
    if "oct" in types and types & _PUBLIC:
        raise KeyRefused("The set mixes shared secrets with public keys: whoever publishes it gives the secrets away.")


def _bound_algorithm(named: str | None, asked: Algorithm | None) -> Algorithm:
    if named is not None and asked is not None and named != asked:
        raise KeyRefused(f"This JSON Web Key is for another algorithm than {asked}: its `alg` says so.")
    algorithm = asked if named is None else named
    if algorithm is None:
        raise KeyRefused("This JSON Web Key names no `alg`: say which algorithm it is for (algorithm=).")
    return _known(algorithm)


def _is_known(algorithm: str) -> TypeGuard[Algorithm]:
    return algorithm in _HMAC


def _known(algorithm: str) -> Algorithm:
    if not _is_known(algorithm):
        raise KeyRefused(f"Unknown algorithm: use one of {', '.join(_HMAC)}.")
    return algorithm


def _hmac_key(secret: bytes, algorithm: Algorithm, id: str | None, operations: frozenset[str] = _jwk.SIGNATURES) -> Key:
    hmac = _HMAC[_known(algorithm)]
    # RFC 7518 §3.2: a key of the same size as the hash output or larger must be used.
    if len(secret) < hmac.length:
        raise KeyRefused(
            f"{algorithm} needs a secret of at least {hmac.length} bytes: make one with secrets.token_urlsafe(48)."
        )
    _refuse_public_key(secret)
    _refuse_unwritable_id(id)
    sign, verify = signer_and_verifier(secret, hmac.hash_name)
    return Key(algorithm, id, sign if "sign" in operations else None, verify if "verify" in operations else None)


def _octets(secret: bytes | str) -> bytes:
    if isinstance(secret, bytes):
        return secret
    try:
        return secret.encode("utf-8")
    except (UnicodeEncodeError, AttributeError):
        raise KeyRefused("A secret is bytes, or text that can be written as UTF-8.") from None


def _refuse_public_key(secret: bytes) -> None:
    # A public key known to all makes a secret known to all: CVE-2022-29217, CVE-2024-33663, CVE-2024-37568 (PEM and
    # OpenSSH), CVE-2026-48526 (a JSON Web Key as text).
    text = secret.lstrip()
    if text.startswith(_KEY_FILES) or b"-----BEGIN" in text or _is_jwk(text):
        raise KeyRefused("This looks like a key file or a JSON Web Key, not a shared secret: load it as what it is.")


def _is_jwk(text: bytes) -> bool:
    if not text.startswith(b"{"):
        return False
    try:
        return bool(_json.parse_object(text).keys() & {"kty", "keys"})
    except ValueError:
        return False


def _refuse_unwritable_id(id: str | None) -> None:
    try:
        (id or "").encode("utf-8")
    except UnicodeEncodeError:
        raise KeyRefused("The id of a key must be text that can be written as UTF-8.") from None
