"""What a cache keeps of one key."""

from __future__ import annotations

from typing import Final, Generic, Protocol, TypeVar

from heykit.cache.tokens import Token

V = TypeVar("V")


class Due(Protocol):
    """What has a place in the order of expiry."""

    @property
    def due(self) -> float: ...
    @property
    def key(self) -> str: ...


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

    The rest is its place among the others: how often it was used, which queue it is in, and `due`, when it is looked
    at for having expired, which is no later than it does.
    """

    __slots__ = ("due", "expires", "key", "note", "queue", "uses", "value")

    def __init__(self, key: str, value: V, expires: float, note: Note | None = None) -> None:
        self.key = key
        self.value: V = value
        self.expires = self.due = expires
        self.note = note
        self.uses = 0
        self.queue = GONE

    @property
    def weight(self) -> int:
        return 1 if self.note is None else self.note.weight

    def __lt__(self, other: Due) -> bool:
        return self.due < other.due or (self.due == other.due and self.key < other.key)
