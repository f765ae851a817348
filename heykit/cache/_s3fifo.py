"""Which entry goes first, when most are asked for once: S3-FIFO, which adapts, and learns what is a loop.

"FIFO queues are all you need for cache eviction" (J. Yang et al., SOSP 2023): what is new passes through a small queue,
and only what is asked for there enters the main one, in which a use buys another round. A hit touches one number.

Here, keys of what had to go are remembered a while. Who comes back from the small queue enters the main one, and the
small one grows; who comes back to the main one stays longer, and the small one shrinks. Where most of what leaves the
main queue comes back, it all goes in a circle that is larger than the cache, and the best is to hold on to a part of
it: then nobody enters for having come back, for as long as those that stay are used.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from heykit.cache._entry import GONE, Entry
from heykit.cache._ghosts import FINGERPRINT, MAIN, SMALL, places

V = TypeVar("V")

# Found by a search over four public traces at three sizes, and over loops, scans and shifts made for it.
_MOST_USES: Final = 7
_USES_OF_ONE_THAT_COMES_BACK: Final = 3  # to the main queue
_SMALL_AT_FIRST: Final = 0.05  # of the size
_SMALL_AT_LEAST, _SMALL_AT_MOST, _STEP = 0.03, 0.2, 0.01  # of the size
_CIRCLE: Final = 0.7  # the share of those that leave the main queue and come back from which it is one
_MEMORY: Final = 0.5  # of the entries: over how many that share is taken


class S3Fifo(Generic[V]):
    """Entries in two queues; what is taken out by hand leaves its place in the queue until that is reached."""

    __slots__ = (
        "_forgets", "_ghosts", "_is_filling", "_least", "_main", "_main_weight", "_most", "_places", "_regret", "_seen",
        "_small", "_small_weight", "_step", "_target", "entries", "used",
    )  # fmt: skip

    def __init__(self, max_size: int) -> None:
        self.entries: dict[str, Entry[V]] = {}
        self.used = None
        self._is_filling = True
        self._small: deque[Entry[V]] = deque()
        self._main: deque[Entry[V]] = deque()
        self._small_weight = self._main_weight = 0
        self._seen = 0
        self._ghosts = places(0)
        self._places = 1
        self._regret = 0.0
        self._forgets = 0.0
        self._target = max(1.0, max_size * _SMALL_AT_FIRST)
        self._least, self._most = max(1.0, max_size * _SMALL_AT_LEAST), max(1.0, max_size * _SMALL_AT_MOST)
        self._step = max(1.0, max_size * _STEP)

    def add(self, entry: Entry[V]) -> None:
        key = entry.key
        self.entries[key] = entry
        hashed = hash(key)
        came_from = self._ghosts[hashed % self._places] - (hashed >> 32 & FINGERPRINT)
        if 0 < came_from <= MAIN:
            self._ghosts[hashed % self._places] = 0
            if self._is_let_in(entry, came_from):
                self._enter_main(entry)
                return
        if self._is_filling and self._small_weight >= self._target:
            self._fill()
        entry.queue = SMALL
        self._small.append(entry)
        self._small_weight += 1 if entry.note is None else entry.note.weight

    def remove(self, entry: Entry[V]) -> None:
        del self.entries[entry.key]
        if entry.queue == SMALL:
            self._small_weight -= entry.weight
        else:
            self._main_weight -= entry.weight
        entry.queue = GONE
        self._tidy()

    def evict(self) -> Entry[V]:
        small, main = self._small, self._main
        while True:
            if self._small_weight >= self._target or not self._main_weight:
                entry = small.popleft()
                if not entry.queue:
                    continue
                self._small_weight -= 1 if entry.note is None else entry.note.weight
                if entry.uses:
                    entry.uses = 0
                    entry.queue = MAIN
                    main.append(entry)
                    self._main_weight += 1 if entry.note is None else entry.note.weight
                    continue
                origin = SMALL
            else:
                entry = main.popleft()
                if not entry.queue:
                    continue
                uses = entry.uses
                if uses:
                    entry.uses = uses - 1 if uses < _MOST_USES else _MOST_USES - 1
                    main.append(entry)
                    continue
                self._main_weight -= 1 if entry.note is None else entry.note.weight
                self._regret *= self._forgets
                origin = MAIN
            key = entry.key
            del self.entries[key]
            entry.queue = GONE
            if self._is_filling or (entry.note is not None and len(self.entries) >= self._seen):
                self._look_at_size(len(self.entries) + 1)
            hashed = hash(key)
            self._ghosts[hashed % self._places] = (hashed >> 32 & FINGERPRINT) + origin
            return entry

    def turn_over(self, key: str) -> Entry[V]:
        # `evict` and `add` in one, without weights: a third of what they take apart.
        if self._is_filling:
            self._look_at_size(len(self.entries))
        small, main, ghosts = self._small, self._main, self._ghosts
        while True:
            if self._small_weight >= self._target or not self._main_weight:
                entry = small.popleft()
                if not entry.queue:
                    continue
                self._small_weight -= 1
                if entry.uses:
                    entry.uses = 0
                    entry.queue = MAIN
                    main.append(entry)
                    self._main_weight += 1
                    continue
                hashed = hash(entry.key)
                ghosts[hashed % self._places] = (hashed >> 32 & FINGERPRINT) + SMALL
                break
            entry = main.popleft()
            if not entry.queue:
                continue
            uses = entry.uses
            if not uses:
                self._main_weight -= 1
                self._regret *= self._forgets
                hashed = hash(entry.key)
                ghosts[hashed % self._places] = (hashed >> 32 & FINGERPRINT) + MAIN
                break
            entry.uses = uses - 1 if uses < _MOST_USES else _MOST_USES - 1
            main.append(entry)
        del self.entries[entry.key]
        entry.key = key
        self.entries[key] = entry
        hashed = hash(key)
        came_from = ghosts[hashed % self._places] - (hashed >> 32 & FINGERPRINT)
        if 0 < came_from <= MAIN:
            ghosts[hashed % self._places] = 0
            if self._is_let_in(entry, came_from):
                self._enter_main(entry)
                return entry
        entry.queue = SMALL
        small.append(entry)
        self._small_weight += 1
        return entry

    def _is_let_in(self, entry: Entry[V], came_from: int) -> bool:
        """Tell whether one enters the main queue because it comes back, and learn from its coming back."""
        if came_from == SMALL:
            self._target = min(self._most, self._target + self._step)
        else:
            self._target = max(self._least, self._target - self._step)
            self._regret = min(1.0, self._regret + 1 - self._forgets)
            entry.uses = _USES_OF_ONE_THAT_COMES_BACK
        if self._regret < _CIRCLE or not self._main_weight:
            return True
        self._hold_on()
        entry.uses = 0
        return False

    def _fill(self) -> None:
        """Let the small queue's first go on: else a circle that fills the cache would leave nothing in the main one."""
        while (first := self._small.popleft()).queue == GONE:
            continue
        self._small_weight -= first.weight
        first.uses = 0
        self._enter_main(first)

    def _enter_main(self, entry: Entry[V]) -> None:
        entry.queue = MAIN
        self._main.append(entry)
        self._main_weight += entry.weight

    def _hold_on(self) -> None:
        """Let nobody in; see by the next in turn whether those that stay are used."""
        self._target = max(self._least, self._target - self._step)
        while (first := self._main.popleft()).queue == GONE:
            continue
        self._main.append(first)
        if first.uses:
            first.uses = min(first.uses, _MOST_USES) - 1
            self._regret = 1 - (1 - self._regret) * self._forgets
        else:
            self._regret *= self._forgets

    def _look_at_size(self, entries: int) -> None:
        """Set what goes by the number of entries, which is known when the room is full, and may grow with weights."""
        self._is_filling = False
        self._seen = 2 * entries if self._seen else entries
        self._ghosts = places(self._seen)
        self._places = len(self._ghosts)
        self._forgets = 1 - 1 / max(8.0, _MEMORY * entries)

    def _tidy(self) -> None:
        """Forget the places of what was taken out, before there are more of those than of what lives."""
        if len(self._small) + len(self._main) > 2 * len(self.entries) + 64:
            self._small = deque(entry for entry in self._small if entry.queue != GONE)
            self._main = deque(entry for entry in self._main if entry.queue != GONE)
