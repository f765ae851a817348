"""Entries in the order in which they expire, ties in the order of their keys.

Those that come in this order, as with one time to live for all they do, stand in a line, and for the others a reference
lies in a heap. One in the line that is given longer stays where it is, and goes back to the end when its turn comes: so
does one that was let go and stands for another key now. What is gone is dropped when its turn comes, or when it could
be a quarter of what lives.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from heykit.cache._entry import GONE, Entry

V = TypeVar("V")


class _Reference(Generic[V]):
    """Stands for an entry that expires at a time for which there is no place at the end of the line."""

    __slots__ = ("entry", "expires", "key")

    def __init__(self, entry: Entry[V]) -> None:
        self.expires = entry.expires
        self.key = entry.key
        self.entry = entry

    def __lt__(self, other: _Reference[V]) -> bool:
        return self.expires < other.expires or (self.expires == other.expires and self.key < other.key)

    def holds(self) -> bool:
        entry = self.entry
        return entry.queue != GONE and entry.expires == self.expires and entry.key == self.key


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
        """Take in an entry that expires before its turn in the line comes, or is in no line."""
        line, expires = self._line, entry.expires
        self.soonest = min(self.soonest, expires)
        if entry.due == math.inf and (not line or line[-1].due < expires):
            entry.due = expires
            line.append(entry)
        else:
            heappush(self._heap, _Reference(entry))
        if len(line) + len(self._heap) > self._limit:
            self._tidy()

    def pop(self, until: float) -> Entry[V] | None:
        """Give and forget the entry that expires first, if it does so no later than `until`."""
        line, heap = self._line, self._heap
        while True:
            is_in_line = bool(line) and (not heap or _is_sooner(line[0], heap[0]))
            self.soonest = line[0].due if is_in_line else heap[0].expires if heap else math.inf
            if self.soonest > until or self.soonest == math.inf:
                return None
            if not is_in_line:
                reference = heappop(heap)
                if reference.holds():
                    return reference.entry
                continue
            entry = line.popleft()
            due, entry.due = entry.due, math.inf
            if entry.queue == GONE:
                continue
            if entry.expires == due:
                return entry
            if entry.expires != math.inf:
                self.add(entry)

    def _tidy(self) -> None:
        gone = [entry for entry in self._line if entry.queue == GONE]
        if gone:
            self._line = deque([entry for entry in self._line if entry.queue])
            for entry in gone:
                entry.due = math.inf
        held = {(reference.expires, reference.key): reference for reference in self._heap if reference.holds()}
        self._heap = [*held.values()]
        heapify(self._heap)
        self._limit = len(self) + len(self) // 4 + 64


def _is_sooner(entry: Entry[V], reference: _Reference[V]) -> bool:
    return entry.due < reference.expires or (entry.due == reference.expires and entry.key < reference.key)
