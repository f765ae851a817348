"""What an attacker does: tokens put together by hand, with the right signature or without."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode

from heykit.security.keys import Key, key_from_secret

SECRET = "a secret of thirty-two bytes, or more than that"
KEY = key_from_secret(SECRET, id="k1")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
HEADER: dict[str, object] = {"alg": "HS256", "kid": "k1"}


def segment(part: object) -> str:
    """bytes as they are, anything else as JSON, in base64url."""
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(raw).decode().rstrip("=")


def signed(signing_input: str, key: Key = KEY) -> str:
    """Any two parts with the right signature over them."""
    return f"{signing_input}.{segment(key.sign(signing_input.encode()))}"


def forged(header: object, payload: object, key: Key = KEY) -> str:
    """Any header and payload with the right signature over them."""
    return signed(f"{segment(header)}.{segment(payload)}", key)
