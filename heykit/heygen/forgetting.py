"""What a cache keeps of a user is forgotten when it changes, also where the client who changed it has left."""

from __future__ import annotations

from typing import TypeVar

from heykit._finish import finish
from heykit.cache import Cache, invalidate_tags

V = TypeVar("V")


async def forget(cache: Cache[V] | None, user_id: str) -> None:
    """Drop what a cache has with the tag of a user; to be called after the change."""
    if cache is not None:
        await finish(invalidate_tags(cache, user_id))
