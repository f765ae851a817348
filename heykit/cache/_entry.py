"""What a cache keeps of one key."""

from __future__ import annotations

import math
from typing import Final, Generic, TypeVar

from heykit.cache._tokens import Token

V = TypeVar("V")


GONE: Final = 0  # the queue of an entry that is in none


class Note:
    """What few entries have: their weight, what they hang on, and that the value is one somebody could change."""

    __slots__ = ("is_mutable", "tags", "weight")

    def __init__(self, weight: int = 1, tags: tuple[Token, ...] = (), *, is_mutable: bool = False) -> None:
        self.weight = weight
        self.tags = tags
        self.is_mutable = is_mutable


class Entry(Generic[V]):
    """A value and when it expires, on the cache's clock, infinity for never.

    The rest is its place among the others: how often it was used, which queue it is in, and `due`, when its turn comes
    in the line of those that expire, infinity where it is in none.
    """

    __slots__ = ("due", "expires", "key", "note", "queue", "uses", "value")

    def __init__(self, key: str, value: V, expires: float, note: Note | None = None) -> None:
        self.key = key
        self.value: V = value
        self.expires = expires
        self.due = math.inf
        self.note = note
        self.uses = 0
        self.queue = GONE

    @property
    def weight(self) -> int:
        return 1 if self.note is None else self.note.weight

    @property
    def is_mutable(self) -> bool:
        return self.note is not None and self.note.is_mutable
