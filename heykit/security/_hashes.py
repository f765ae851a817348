"""Hashes as `cryptography` names them."""

from __future__ import annotations

from cryptography.hazmat.primitives import hashes


def hash_of(name: str) -> hashes.HashAlgorithm:
    match name:
        case "sha256":
            return hashes.SHA256()
        case "sha384":
            return hashes.SHA384()
    return hashes.SHA512()
