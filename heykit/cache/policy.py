"""Which entry goes first when there is no room: pure structures, no clock and no I/O.

A policy holds the entries, so that a hit costs one look-up. A further strategy is one more class here and one more
line in `policy`; the cache above knows only the `Policy` protocol.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, get_args

from heykit.cache.entry import Entry
from heykit.cache.s3fifo import S3Fifo

V = TypeVar("V")

Strategy: TypeAlias = Literal["s3fifo", "lru", "ttl", "fifo"]


class Policy(Protocol[V]):
    """Entries by key, and which of them goes first."""

    def __len__(self) -> int: ...
    def use(self, key: str, /) -> Entry[V] | None:
        """Find an entry; this counts as a use."""

    def peek(self, key: str, /) -> Entry[V] | None:
        """Find an entry; this counts as nothing."""

    def put(self, key: str, entry: Entry[V], /) -> None:
        """Add an entry, or replace the one of this key."""

    def pop(self, key: str, /) -> Entry[V] | None:
        """Take an entry out."""

    def evict(self) -> None:
        """Take out the entry that goes first; there is one."""


class Expiries(Generic[V]):
    """Entries in the order in which they expire, ties in the order in which they were set.

    A heap of references. One to an entry that is gone or replaced is dropped when it comes to the top, or when so many
    have piled up that the heap could be twice as large as what lives. They hold no values: what is gone is freed.
    """

    __slots__ = ("_find", "_heap", "_limit")

    def __init__(self, find: Callable[[str], Entry[V] | None]) -> None:
        self._find = find
        self._heap: list[tuple[float, int, str]] = []
        self._limit = 64

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, key: str, entry: Entry[V]) -> None:
        heappush(self._heap, (entry.expires, entry.order, key))
        if len(self._heap) > self._limit:
            self._heap = [reference for reference in self._heap if self._lives(reference)]
            heapify(self._heap)
            self._limit = 2 * len(self._heap) + 64

    def pop(self, until: float) -> str | None:
        """Give and forget the key that expires first, if it does so no later than `until`."""
        while self._heap and self._heap[0][0] <= until:
            reference = heappop(self._heap)
            if self._lives(reference):
                return reference[2]
        return None

    def _lives(self, reference: tuple[float, int, str]) -> bool:
        entry = self._find(reference[2])
        return entry is not None and entry.order == reference[1]


class _Lru(Generic[V]):
    """The one not used for longest goes first."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[str, Entry[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, key: str) -> Entry[V] | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def peek(self, key: str) -> Entry[V] | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry[V]) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)

    def pop(self, key: str) -> Entry[V] | None:
        return self._entries.pop(key, None)

    def evict(self) -> None:
        self._entries.popitem(last=False)


class _Fifo(Generic[V]):
    """The one that came first goes first; neither a use nor a new value for its key changes that."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        # Popping the first of a plain dict again and again walks over all the holes before it.
        self._entries: OrderedDict[str, Entry[V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, key: str) -> Entry[V] | None:
        return self._entries.get(key)

    def peek(self, key: str) -> Entry[V] | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry[V]) -> None:
        self._entries[key] = entry

    def pop(self, key: str) -> Entry[V] | None:
        return self._entries.pop(key, None)

    def evict(self) -> None:
        self._entries.popitem(last=False)


class _Soonest(Generic[V]):
    """The one that expires soonest goes first; what never expires goes last, ties in the order of being set."""

    __slots__ = ("_entries", "_expiries")

    def __init__(self) -> None:
        self._entries: dict[str, Entry[V]] = {}
        self._expiries: Expiries[V] = Expiries(self._entries.get)

    def __len__(self) -> int:
        return len(self._entries)

    def use(self, key: str) -> Entry[V] | None:
        return self._entries.get(key)

    def peek(self, key: str) -> Entry[V] | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry[V]) -> None:
        self._entries[key] = entry
        self._expiries.add(key, entry)

    def pop(self, key: str) -> Entry[V] | None:
        return self._entries.pop(key, None)

    def evict(self) -> None:
        first = self._expiries.pop(until=float("inf"))
        assert first is not None
        del self._entries[first]


def policy(strategy: Strategy, max_size: int) -> Policy[V]:
    """Build the empty policy of a strategy for so many entries; an unknown one is a ValueError."""
    match strategy:
        case "s3fifo":
            return S3Fifo(max_size)
        case "lru":
            return _Lru()
        case "ttl":
            return _Soonest()
        case "fifo":
            return _Fifo()
    raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, not {strategy!r}")
