"""What a JSON Web Key (RFC 7517) says of itself, read with suspicion. Nothing here fetches or trusts a URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

from heykit.errors import KeyRefused
from heykit.security import _base64url

SIGNATURES = frozenset({"sign", "verify"})


def members(jwks: object) -> list[Mapping[str, object]]:
    """Give the keys of a set, each an object with a `kty`."""
    keys = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(keys, list | tuple) or not all(isinstance(key, Mapping) for key in keys):
        raise KeyRefused('A JWK Set needs "keys", a list of JSON Web Keys.')
    for key in keys:
        # RFC 7517 §4.1: this member must be present.
        text(key, "kty")
    return list(keys)


def refuse_mixture(members: Iterable[object]) -> None:
    """Refuse shared secrets and public keys in one set."""
    types = {kty for member in members if isinstance(member, Mapping) and isinstance(kty := member.get("kty"), str)}
    if "oct" in types and not types.isdisjoint({"RSA", "EC", "OKP"}):
        raise KeyRefused("The set mixes shared secrets with public keys: whoever publishes it gives the secrets away.")


def text(jwk: object, name: str) -> str:
    value = jwk.get(name) if isinstance(jwk, Mapping) else None
    if not isinstance(value, str):
        raise KeyRefused(f"A JSON Web Key needs `{name}`, a string.")
    return value


def optional_text(jwk: Mapping[str, object], name: str) -> str | None:
    return text(jwk, name) if name in jwk else None


def octets(jwk: Mapping[str, object], name: str) -> bytes:
    found = text(jwk, name)
    # Not from within an `except`: what it caught would hold the secret, and go along as the error's context.
    if found.isascii():
        with suppress(ValueError):
            return _base64url.decode(found.encode("ascii"))
    raise KeyRefused(f"`{name}` of a JSON Web Key must be base64url without padding.")


def operations(jwk: Mapping[str, object]) -> frozenset[str]:
    """Give which of `sign` and `verify` the key is for; none means that it is not for signatures."""
    if optional_text(jwk, "use") not in (None, "sig"):
        return frozenset()
    return SIGNATURES & _key_ops(jwk) if "key_ops" in jwk else SIGNATURES


def _key_ops(jwk: Mapping[str, object]) -> frozenset[str]:
    values = jwk["key_ops"]
    if not isinstance(values, list | tuple) or not all(isinstance(value, str) for value in values):
        raise KeyRefused("`key_ops` of a JSON Web Key must be a list of strings.")
    # RFC 7517 §4.3: duplicate values must not be present.
    if len(set(values)) != len(values):
        raise KeyRefused("`key_ops` of a JSON Web Key names an operation twice.")
    return frozenset(values)
