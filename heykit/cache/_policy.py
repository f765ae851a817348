"""Which entry goes first when there is no room: pure structures, no clock and no I/O.

A policy holds the entries, so that a hit costs one look-up and one addition: whoever finds an entry adds one to its
`uses`, and calls `used` where the policy has it; every entry of such a policy has a note. A further strategy is one
more class here and one more line in `policy`; the cache above knows only the `Policy` protocol.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, get_args

from heykit.cache._entry import GONE, Entry
from heykit.cache._expiries import Expiries
from heykit.cache._s3fifo import S3Fifo

V = TypeVar("V")

Strategy: TypeAlias = Literal["s3fifo", "lru", "lfu", "fifo", "ttl"]

_KEPT = 1
_LAST = math.nextafter(math.inf, 0)


class Policy(Protocol[V]):
    """Entries by key, and which of them goes first."""

    @property
    def entries(self) -> MutableMapping[str, Entry[V]]:
        """To look up in; only the policy changes it."""

    @property
    def used(self) -> Callable[[str], None] | None:
        """What to call with the key of an entry that was used, where one more of its `uses` is not enough."""

    def add(self, entry: Entry[V], /) -> None:
        """Add an entry, of a key that has none."""

    def remove(self, entry: Entry[V], /) -> None:
        """Take an entry out."""

    def evict(self) -> Entry[V]:
        """Take out the entry that goes first, and give it; there is one."""

    def turn_over(self, key: str, /) -> Entry[V]:
        """Let the entry that goes first stand for another key, unused yet, and give it; none here has a weight."""


def turned_over(policy: Policy[V], key: str) -> Entry[V]:
    entry = policy.evict()
    entry.key = key
    entry.uses = 0
    policy.add(entry)
    return entry


class _InOrder(Generic[V]):
    """The first goes first: the one not used for longest (LRU), or the one that came first (FIFO).

    With `expiries` those come before, by the time they expire, ties in the order of their keys (TTL).
    """

    __slots__ = ("_expiries", "entries", "used")

    def __init__(self, *, by_use: bool = False, expiries: Expiries[V] | None = None) -> None:
        # Taking the first of a plain dict again and again walks over all the holes before it.
        self.entries: OrderedDict[str, Entry[V]] = OrderedDict()
        self.used: Callable[[str], None] | None = self.entries.move_to_end if by_use else None
        self._expiries = expiries

    def add(self, entry: Entry[V]) -> None:
        entry.queue = _KEPT
        self.entries[entry.key] = entry

    def turn_over(self, key: str) -> Entry[V]:
        return turned_over(self, key)

    def remove(self, entry: Entry[V]) -> None:
        entry.queue = GONE
        del self.entries[entry.key]

    def evict(self) -> Entry[V]:
        entry = None if self._expiries is None else self._expiries.pop(until=_LAST)
        if entry is None:
            entry = next(iter(self.entries.values()))
        self.remove(entry)
        return entry


class _LeastUsed(Generic[V]):
    """The one used least goes first, ties in the order of coming.

    A heap in which a use moves nothing: an entry that comes to the top with more uses than it stands for goes back in.
    """

    __slots__ = ("_heap", "_orders", "entries", "used")

    def __init__(self) -> None:
        self.entries: dict[str, Entry[V]] = {}
        self.used = None
        self._heap: list[tuple[int, int, Entry[V]]] = []
        self._orders = count()

    def add(self, entry: Entry[V]) -> None:
        entry.queue = _KEPT
        self.entries[entry.key] = entry
        heappush(self._heap, (0, next(self._orders), entry))

    def turn_over(self, key: str) -> Entry[V]:
        return turned_over(self, key)

    def remove(self, entry: Entry[V]) -> None:
        entry.queue = GONE
        del self.entries[entry.key]
        if len(self._heap) > 2 * len(self.entries) + 64:
            self._heap = sorted(each for each in self._heap if each[2].queue != GONE)

    def evict(self) -> Entry[V]:
        while True:
            uses, order, entry = self._heap[0]
            if entry.queue != GONE and entry.uses > uses:
                heapreplace(self._heap, (entry.uses, order, entry))
                continue
            heappop(self._heap)
            if entry.queue != GONE:
                entry.queue = GONE
                del self.entries[entry.key]
                return entry


def policy(strategy: Strategy, max_size: int, expiries: Expiries[V]) -> Policy[V]:
    """Build the empty policy of a strategy for so many entries; an unknown one is a ValueError."""
    match strategy:
        case "s3fifo":
            return S3Fifo(max_size)
        case "lru":
            return _InOrder(by_use=True)
        case "lfu":
            return _LeastUsed()
        case "fifo":
            return _InOrder()
        case "ttl":
            return _InOrder(expiries=expiries)
    raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, not {strategy!r}")
