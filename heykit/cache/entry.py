"""What a cache keeps of one key."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")


class Entry(Generic[V]):
    """A value, when it expires (on the cache's clock, infinity for never), and the how-manieth set put it there."""

    __slots__ = ("expires", "order", "value")

    def __init__(self, value: V, expires: float, order: int) -> None:
        self.value: V = value
        self.expires: float = expires
        self.order: int = order
