"""The algorithms there are (RFC 7518 §3, RFC 8037), and what kind of key each is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeGuard

from heykit.errors import KeyRefused
from heykit.security._key import Algorithm

KeyType = Literal["oct", "RSA", "EC", "OKP"]


@dataclass(frozen=True, slots=True)
class Spec:
    """A key type, the hash it works with, and the curves it is for."""

    kty: KeyType
    hash_name: str = ""
    curves: tuple[str, ...] = ()
    is_pss: bool = False


_HASHES: Final = ("sha256", "sha384", "sha512")

SPECS: Final[Mapping[Algorithm, Spec]] = MappingProxyType(
    {
        "HS256": Spec("oct", "sha256"),
        "HS384": Spec("oct", "sha384"),
        "HS512": Spec("oct", "sha512"),
        "RS256": Spec("RSA", "sha256"),
        "RS384": Spec("RSA", "sha384"),
        "RS512": Spec("RSA", "sha512"),
        "PS256": Spec("RSA", "sha256", is_pss=True),
        "PS384": Spec("RSA", "sha384", is_pss=True),
        "PS512": Spec("RSA", "sha512", is_pss=True),
        # RFC 7518 §3.4: each hash has its curve.
        "ES256": Spec("EC", "sha256", ("P-256",)),
        "ES384": Spec("EC", "sha384", ("P-384",)),
        "ES512": Spec("EC", "sha512", ("P-521",)),
        "EdDSA": Spec("OKP", "", ("Ed25519", "Ed448")),
    }
)
KEY_TYPES: Final = frozenset(spec.kty for spec in SPECS.values())


def known(algorithm: object) -> Algorithm:
    if not _is_known(algorithm):
        raise KeyRefused(f"Unknown algorithm: use one of {', '.join(SPECS)}.")
    return algorithm


def fitting(kty: object, curve: object = None) -> list[Algorithm]:
    """Give the algorithms that a key of this type, and on this curve where it has one, could be for."""
    return [
        algorithm for algorithm, spec in SPECS.items() if spec.kty == kty and (not spec.curves or curve in spec.curves)
    ]


def _is_known(algorithm: object) -> TypeGuard[Algorithm]:
    return isinstance(algorithm, str) and algorithm in SPECS
