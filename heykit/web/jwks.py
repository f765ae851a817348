"""The public halves of our keys, where others look for them."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from heykit import provided
from heykit.scope import Provider
from heykit.security.keys import Key, KeySet

__all__ = ["jwks_router"]


def jwks_router(keys: Provider[Key | KeySet], *, max_age: int = 300) -> APIRouter:
    """Make the route `/.well-known/jwks.json`: the public halves as a JWK Set (RFC 7517, section 5).

    Shared secrets have none and are left out. `max_age`: seconds for which others may keep the answer; publish a new
    key for that long before you sign with it.
    """
    router = APIRouter(tags=["keys"])

    @router.get("/.well-known/jwks.json", response_class=JSONResponse)
    async def jwks(published: Key | KeySet = provided(keys)) -> JSONResponse:
        listed = [published] if isinstance(published, Key) else list(published)
        content = {"keys": [dict(key.public_jwk()) for key in listed if key.is_public]}
        # RFC 7517, section 8.5.2: the media type of a JWK Set.
        return JSONResponse(
            content, media_type="application/jwk-set+json", headers={"Cache-Control": f"public, max-age={max_age}"}
        )

    return router
