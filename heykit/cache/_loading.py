"""What `cached` asks of a cache, and any cache seen that way."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, runtime_checkable

from heykit.cache._counts import Counts
from heykit.cache._tokens import Ticket

V = TypeVar("V")


class Found(Generic[V]):
    """A value that was found, the seconds it may still be kept, and whether others hold it and could change it."""

    __slots__ = ("is_mutable", "left", "value")

    def __init__(self, value: V, left: float, *, is_mutable: bool = False) -> None:
        self.value = value
        self.left = left
        self.is_mutable = is_mutable


@runtime_checkable
class Loading(Protocol[V]):
    """A cache that knows of the loads of its values: heykit's own are."""

    @property
    def counts(self) -> Counts: ...
    def shortest(self, ttl: float | None, /) -> float:
        """Tell how many seconds a value of this time to live, or of the default, lives at least."""

    def ticket(self, key: str, tags: tuple[str, ...], /) -> Ticket:
        """Give a load the right to keep what it will bring."""

    async def find(self, key: str, tags: tuple[str, ...], ticket: Ticket | None, /) -> Found[V] | None:
        """Look a value up.

        `ticket` is of a load under way; it is dropped where the look shows that what it will bring is outdated.
        """

    async def claim(self, key: str, tags: tuple[str, ...], ticket: Ticket, /, *, least: float) -> Found[V] | None:
        """Wait until nobody else loads this key: give what was loaded meanwhile, or nothing where it is our turn.

        A value is good that has more than `least` seconds left. One that has less is given only where somebody else
        loads the next already.
        """

    async def keep(self, key: str, value: V, ticket: Ticket, ttl: float | None, grace: float, /) -> None:
        """Keep what was loaded, unless the ticket is dropped, for its time and then `grace` seconds more."""

    async def release(self, key: str, ticket: Ticket, /) -> None:
        """End a claim that has led to nothing."""

    async def drop(self, key: str, /) -> None:
        """Drop a value, and whatever loads of it are under way."""

    async def drop_tags(self, tags: tuple[str, ...], /) -> None:
        """Drop all values with one of these tags, and whatever loads of them are under way."""
