"""Access tokens as an OAuth 2.0 token endpoint gives them."""

from __future__ import annotations

import math
from typing import Final

from fastapi.responses import JSONResponse

# RFC 6749, section 5.1: no cache may keep what holds a token.
_HEADERS: Final = {"Cache-Control": "no-store"}


def token_granted(token: str, *, lifetime: float, refresh_token: str | None = None) -> JSONResponse:
    """Answer a token request that succeeded; `lifetime` in seconds (RFC 6749, section 5.1)."""
    content: dict[str, object] = {
        "access_token": token,
        "token_type": "bearer",
        "expires_in": math.ceil(lifetime),
    }
    if refresh_token is not None:
        content["refresh_token"] = refresh_token
    return JSONResponse(content, 200, _HEADERS)


def token_refused(reason: str, *, error: str = "invalid_grant") -> JSONResponse:
    """Answer a token request that is refused: by default since what it shows is not right (RFC 6749, section 5.2)."""
    return JSONResponse({"error": error, "error_description": reason}, 400, _HEADERS)
