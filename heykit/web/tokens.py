"""Access tokens as an OAuth 2.0 token endpoint gives them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Final

from fastapi.responses import JSONResponse

from heykit.security import jwt
from heykit.security.keys import Key

# RFC 9068, section 2.1: the media type of a JWT access token, so that no other kind of token passes for one.
ACCESS_TOKEN: Final = "at+jwt"  # noqa: S105 - a media type

# RFC 6749, section 5.1: no cache may keep what holds a token.
_HEADERS: Final = {"Cache-Control": "no-store"}


def access_token(
    key: Key,
    *,
    subject: str,
    issuer: str,
    audience: str,
    lifetime: float,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> str:
    """Sign an access token that `bearer` takes, valid for `lifetime` seconds."""
    at = int(now())
    # RFC 9068, section 2.2: the claims an access token must have.
    claims = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "client_id": audience,
        "iat": at,
        "exp": at + math.ceil(lifetime),
        "jti": entropy(16).hex(),
    }
    return jwt.encode(claims, key, typ=ACCESS_TOKEN)


def token_granted(token: str, *, lifetime: float) -> JSONResponse:
    """Answer a token request that succeeded; `lifetime` in seconds (RFC 6749, section 5.1)."""
    return JSONResponse(
        {"access_token": token, "token_type": "bearer", "expires_in": math.ceil(lifetime)}, 200, _HEADERS
    )


def token_refused(reason: str) -> JSONResponse:
    """Answer a token request whose name and password are not right (RFC 6749, section 5.2)."""
    return JSONResponse({"error": "invalid_grant", "error_description": reason}, 400, _HEADERS)
