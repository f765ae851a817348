"""Files as responses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from fastapi.responses import StreamingResponse

# What users wrote may be in it: no browser runs anything out of it, nor takes it for another type.
_UNTRUSTED: Final = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


def streamed(chunks: AsyncIterator[bytes], *, size: int, media_type: str) -> StreamingResponse:
    """Stream a file of `size` bytes that holds what users wrote."""
    return StreamingResponse(chunks, headers={"Content-Length": str(size), **_UNTRUSTED}, media_type=media_type)
