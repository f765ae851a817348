"""Entries in the order in which they expire, ties in the order of their keys.

Those that come in this order, as with one time to live for all they do, stand in a line, the others in a heap. One that
is given longer stays where it is, and goes back in when its turn comes; one that is given less time has a second
reference. What is gone is dropped when its turn comes, or when it could be a quarter of what lives.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from typing import Generic, TypeAlias, TypeVar

from heykit.cache.entry import GONE, Due, Entry

V = TypeVar("V")


class _Sooner(Generic[V]):
    """Stands for an entry that was given less time than it had."""

    __slots__ = ("due", "entry", "key")

    def __init__(self, entry: Entry[V]) -> None:
        self.due = entry.expires
        self.key = entry.key
        self.entry = entry

    def __lt__(self, other: Due) -> bool:
        return self.due < other.due or (self.due == other.due and self.key < other.key)


_Reference: TypeAlias = Entry[V] | _Sooner[V]


class Expiries(Generic[V]):
    __slots__ = ("_heap", "_limit", "_line", "soonest")

    def __init__(self) -> None:
        self.soonest = math.inf  # nothing expires before
        self._line: deque[Entry[V]] = deque()
        self._heap: list[_Reference[V]] = []
        self._limit = 64

    def __len__(self) -> int:
        return len(self._line) + len(self._heap)

    def add(self, entry: Entry[V]) -> None:
        """Take in an entry that expires at some time."""
        line, due = self._line, entry.due
        self.soonest = min(self.soonest, due)
        if not line or line[-1].due < due:
            line.append(entry)
        else:
            heappush(self._heap, entry)
        if len(line) + len(self._heap) > self._limit:
            self._tidy()

    def change(self, entry: Entry[V], expires: float) -> None:
        """Let an entry expire at another time, or never."""
        entry.expires = expires
        if entry.due == math.inf:
            if expires < math.inf:
                entry.due = expires
                self.add(entry)
        elif expires < entry.due:
            self.soonest = min(self.soonest, expires)
            heappush(self._heap, _Sooner(entry))
            if len(self) > self._limit:
                self._tidy()

    def pop(self, until: float) -> Entry[V] | None:
        """Give and forget the entry that expires first, if it does so no later than `until`."""
        line, heap = self._line, self._heap
        while True:
            is_in_line = bool(line) and (not heap or line[0] < heap[0])
            first = line[0] if is_in_line else heap[0] if heap else None
            self.soonest = math.inf if first is None else first.due
            if first is None or first.due > until:
                return None
            entry = self._expiring(line.popleft() if is_in_line else heappop(heap))
            if entry is not None:
                return entry

    def _expiring(self, first: _Reference[V]) -> Entry[V] | None:
        if isinstance(first, _Sooner):
            return first.entry if _lives(first) else None
        if first.queue == GONE:
            return None
        if first.expires > first.due:
            first.due = first.expires
            if first.due < math.inf:
                self.add(first)
            return None
        return first

    def _tidy(self) -> None:
        self._line = deque([entry for entry in self._line if entry.queue])
        self._heap = [each for each in self._heap if _lives(each)]
        heapify(self._heap)
        self._limit = len(self) + len(self) // 4 + 64


def _lives(reference: _Reference[V]) -> bool:
    if isinstance(reference, _Sooner):
        return reference.entry.queue != GONE and reference.entry.expires == reference.due
    return reference.queue != GONE
