"""What a cache keeps of something is forgotten when that changes, also where the client who changed it has left."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

from heykit._finish import finish
from heykit.cache import Cache, invalidate_tags

V = TypeVar("V")


@asynccontextmanager
async def changing(cache: Cache[V] | None, tag: str) -> AsyncGenerator[None]:
    """Drop what a cache has with a tag once the block has ended, whether it was changed there or not.

    Nobody knows whether a change was made whose answer was not waited for.
    """
    try:
        yield
    finally:
        if cache is not None:
            await finish(invalidate_tags(cache, tag))
