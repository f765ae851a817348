"""Keys for tokens: each is checked when it is loaded and bound to one algorithm for good.

A token's header may choose among *your* keys by `kid`, never the algorithm: taking a public key for a shared secret
cannot be written down.

    key = key_from_secret(settings.secret_key.reveal(), id="2026-11")
    key = key_from_pem(Path("signing.pem").read_bytes(), algorithm="ES256", id="2026-11")
    public_jwks(key_set([key]))  # what others verify our tokens with
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from heykit.errors import KeyRefused
from heykit.security import _base64url, _jwk
from heykit.security._algorithms import KEY_TYPES, SPECS, fitting, known
from heykit.security._hmac import signer_and_verifier
from heykit.security._key import Algorithm, Key, KeySet, made_key

__all__ = [
    "Algorithm",
    "Key",
    "KeySet",
    "generate_key",
    "key_from_jwk",
    "key_from_pem",
    "key_from_secret",
    "key_set",
    "key_set_from_jwks",
    "public_jwks",
    "thumbprint",
]

_LENGTHS: Final[Mapping[str, int]] = MappingProxyType({"sha256": 32, "sha384": 48, "sha512": 64})  # bytes
# What begins PEM and OpenSSH's files, the `kty` of a JSON Web Key, and the identifiers of key types in DER.
_KEY_FILE: Final = re.compile(
    rb"---- ?BEGIN|ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-|sk-(?:ssh|ecdsa)-|openssh-key-v1|[\"']kty[\"']\s*:"
    rb"|\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01[\x01\x0a]|\x06\x07\x2a\x86\x48\xce\x3d\x02\x01|\x06\x03\x2b\x65[\x70\x71]"
)
_TO_STANDARD: Final = bytes.maketrans(b"-_", b"+/")
# PKCS #1 names no type: a sequence that begins with a long number, or with the version and one.
_PKCS_1: Final = re.compile(rb"\x30\x82..\x02(?:\x01\x00\x02)?\x82", re.DOTALL)


def key_from_secret(
    secret: bytes | str, *, algorithm: Algorithm = "HS256", id: str | None = None, created_at: float | None = None
) -> Key:
    """Build a key from a shared secret, at least as long as the hash: 32 bytes for HS256 (text counts in UTF-8).

    `created_at` (seconds since the epoch) is told by health and nothing else.

    :raises KeyRefused: too short, a public key by mistake, or an algorithm that is not for secrets
    """
    return replace(_hmac_key(_octets(secret), algorithm, id), created_at=created_at)


def key_from_pem(
    pem: bytes | str,
    *,
    algorithm: Algorithm,
    id: str | None = None,
    password: bytes | None = None,
    created_at: float | None = None,
) -> Key:
    """Build a key from one private or public key in PEM (RFC 7468: PKCS #8, SPKI, or those of OpenSSL).

    :raises KeyRefused: it is none, too weak, not for this algorithm, or the password is not its own
    """
    from heykit.security import _asymmetric

    _refuse_unwritable_id(id)
    loaded = _asymmetric.from_pem(_octets(pem), _public_algorithm(algorithm), id, password)
    return replace(loaded, created_at=created_at)


def generate_key(
    algorithm: Algorithm = "HS256",
    *,
    id: str | None = None,
    entropy: Callable[[int], bytes] = os.urandom,
    now: Callable[[], float] = time.time,
) -> Key:
    """Generate a key that lives as long as this process: nobody can read its secret back.

    `entropy` is that of shared secrets; the others have their own. RSA keys have 3072 bits, EdDSA is Ed25519.
    """
    spec = SPECS[known(algorithm)]
    if spec.kty == "oct":
        return replace(_hmac_key(entropy(_LENGTHS[spec.hash_name]), algorithm, id), created_at=now())
    from heykit.security import _asymmetric

    _refuse_unwritable_id(id)
    return replace(_asymmetric.generated(algorithm, id), created_at=now())


def key_from_jwk(jwk: Mapping[str, object], *, algorithm: Algorithm | None = None) -> Key:
    """Build a key from a JSON Web Key (RFC 7517).

    `algorithm` is needed where the key has no `alg` and its type leaves a choice, and must be that where it has one.

    :raises KeyRefused: malformed, too weak, not for signatures, or for another algorithm
    """
    kty = _jwk.text(jwk, "kty")
    if kty not in KEY_TYPES:
        raise KeyRefused(
            f"A JSON Web Key of this `kty` is unknown here: it must be one of {', '.join(sorted(KEY_TYPES))}."
        )
    operations = _jwk.operations(jwk)
    if not operations:
        raise KeyRefused("This JSON Web Key is not for signatures: its `use` or `key_ops` say so.")
    bound = _bound_algorithm(jwk, algorithm)
    id = _jwk.optional_text(jwk, "kid")
    if kty == "oct":
        return _hmac_key(_jwk.octets(jwk, "k"), bound, id, operations)
    from heykit.security import _asymmetric

    _refuse_unwritable_id(id)
    return _asymmetric.from_jwk(jwk, bound, id, operations)


def public_jwks(keys: KeySet) -> dict[str, object]:
    """Give the public halves of the keys as a JWK Set (RFC 7517 §5), for those who verify our tokens.

    :raises KeyRefused: a key of the set is a shared secret
    """
    return {"keys": [dict(key.public_jwk()) for key in keys]}


def thumbprint(key: Key) -> str:
    """Give the SHA-256 thumbprint of a key (RFC 7638), which makes a good id.

    :raises KeyRefused: the key is a shared secret
    """
    jwk = key.public_jwk()
    # RFC 7638 §3.2: the required members alone, in the order of their names.
    required = {name: jwk[name] for name in ("crv", "e", "kty", "n", "x", "y") if name in jwk}
    written = json.dumps(required, separators=(",", ":"), sort_keys=True).encode("ascii")
    return _base64url.encode(sha256(written).digest()).decode("ascii")


def key_set(keys: Iterable[Key]) -> KeySet:
    """Gather keys among which a token's `kid` chooses. What signs with the set signs with the first that may.

    To rotate, put the new key in front, and take the old one out once its last token has expired.

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
    wanted: list[Algorithm] = [known(algorithm) for algorithm in (SPECS if algorithms is None else algorithms)]
    members = _jwk.members(jwks)
    _jwk.refuse_mixture(members)
    return key_set(
        key_from_jwk(member, algorithm=None if "alg" in member else _only(member, wanted))
        for member in members
        if _is_usable(member, wanted)
    )


def _is_usable(jwk: Mapping[str, object], wanted: Collection[str]) -> bool:
    # RFC 7517 §5: ignore keys of types not understood; `alg` and `crv` are judged in the same way.
    possible = [algorithm for algorithm in fitting(jwk["kty"], jwk.get("crv")) if algorithm in wanted]
    if not possible or not _jwk.operations(jwk):
        return False
    alg = _jwk.optional_text(jwk, "alg")
    return alg is None or alg in wanted


def _only(jwk: Mapping[str, object], wanted: Collection[Algorithm]) -> Algorithm | None:
    """Give the algorithm of a key that names none, where just one is possible."""
    possible = [algorithm for algorithm in fitting(jwk["kty"], jwk.get("crv")) if algorithm in wanted]
    return possible[0] if len(possible) == 1 else None


def _bound_algorithm(jwk: Mapping[str, object], asked: Algorithm | None) -> Algorithm:
    named = _jwk.optional_text(jwk, "alg")
    if named is not None and asked is not None and named != asked:
        raise KeyRefused(f"This JSON Web Key is for another algorithm than {asked}: its `alg` says so.")
    possible = fitting(jwk["kty"], jwk.get("crv"))
    only = possible[0] if len(possible) == 1 else None
    algorithm = named or asked or only
    if algorithm is None:
        raise KeyRefused("This JSON Web Key names no `alg`: say which algorithm it is for (algorithm=).")
    if known(algorithm) not in possible:
        raise KeyRefused(f"A JSON Web Key of this type or on this curve is not for {algorithm}.")
    return known(algorithm)


def _public_algorithm(algorithm: Algorithm) -> Algorithm:
    if SPECS[known(algorithm)].kty == "oct":
        raise KeyRefused(f"{algorithm} is for shared secrets: a key in PEM is for RS, PS, ES or EdDSA.")
    return algorithm


def _hmac_key(secret: bytes, algorithm: Algorithm, id: str | None, operations: frozenset[str] = _jwk.SIGNATURES) -> Key:
    spec = SPECS[known(algorithm)]
    if spec.kty != "oct":
        raise KeyRefused(f"{algorithm} is not for shared secrets: load a private or public key (key_from_pem).")
    length = _LENGTHS[spec.hash_name]
    # RFC 7518 §3.2: a key of the same size as the hash output or larger must be used.
    if len(secret) < length:
        raise KeyRefused(
            f"{algorithm} needs a secret of at least {length} bytes: make one with secrets.token_urlsafe(64)."
        )
    _refuse_public_key(secret)
    _refuse_unwritable_id(id)
    sign, verify = signer_and_verifier(secret, spec.hash_name)
    return made_key(algorithm, id, sign if "sign" in operations else None, verify if "verify" in operations else None)


def _octets(secret: bytes | str) -> bytes:
    if isinstance(secret, bytes):
        return secret
    # Not from within an `except`: what it caught would hold the secret, and go along as the error's context.
    if isinstance(secret, str):
        with suppress(UnicodeEncodeError):
            return secret.encode("utf-8")
    raise KeyRefused("A secret is bytes, or text that can be written as UTF-8.")


def _refuse_public_key(secret: bytes) -> None:
    # RFC 8725 §3.1. A public key known to all makes a secret known to all: CVE-2022-29217, CVE-2024-33663,
    # CVE-2024-37568 (PEM and OpenSSH), CVE-2026-48526 (a JSON Web Key as text); DER, UTF-16 and base64 are no better.
    decoded = _out_of_base64(secret.replace(b"\0", b""))
    for text in (secret, decoded):
        if _KEY_FILE.search(text) or _KEY_FILE.search(text.replace(b"\0", b"")) or _PKCS_1.match(text):
            raise KeyRefused(
                "This looks like a key file or a JSON Web Key, not a shared secret: load it as what it is."
            )


def _out_of_base64(text: bytes) -> bytes:
    """Decode base64 or base64url, with padding or without; nothing where it is neither."""
    plain = b"".join(text.split()).translate(_TO_STANDARD).rstrip(b"=")
    with suppress(ValueError):
        return b64decode(plain + b"=" * (-len(plain) % 4))
    return b""


def _refuse_unwritable_id(id: str | None) -> None:
    if id is None:
        return
    if isinstance(id, str):
        with suppress(UnicodeEncodeError):
            id.encode("utf-8")
            return
    raise KeyRefused("The id of a key must be text that can be written as UTF-8.")
