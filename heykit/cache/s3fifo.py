"""Which entry goes first, when most are asked for once: S3-FIFO, with ghosts that rotate and a small queue that adapts.

"FIFO queues are all you need for cache eviction" (J. Yang et al., SOSP 2023): what is new passes through a small queue,
and only what is asked for there enters the main one, in which a use buys another round. A hit touches one number.
Of those that had to go, keys are remembered a while: who comes back from the small queue enters the main one, and the
small one grows; who comes back to the main one stays longer, and the small one shrinks.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, TypeVar

from heykit.cache.entry import Entry

V = TypeVar("V")

# Found by a search over four public traces at three sizes; each of them is worth some tenths of a point.
_MOST_USES: Final = 15
_USES_OF_ONE_THAT_COMES_BACK: Final = 3  # to the main queue
_SMALL_AT_FIRST: Final = 0.05  # of the size
_SMALL_AT_LEAST, _SMALL_AT_MOST, _STEP = 0.03, 0.3, 0.01  # of the size
_GHOSTS_OF_SMALL, _GHOSTS_OF_MAIN = 0.4, 0.5  # of the size; of each as many again, which are older


class _Cell(Generic[V]):
    __slots__ = ("entry", "is_main", "key", "lives", "uses")

    def __init__(self, key: str, entry: Entry[V], *, is_main: bool, uses: int) -> None:
        self.key = key
        self.entry = entry
        self.is_main = is_main
        self.uses = uses
        self.lives = True


class Ghosts:
    """Keys of those that had to go: at least the last `size` of them, and at most twice as many."""

    __slots__ = ("_before", "_now", "_size")

    def __init__(self, size: int) -> None:
        self._size = size
        self._now: set[str] = set()
        self._before: set[str] = set()

    def __len__(self) -> int:
        return len(self._now) + len(self._before)

    def add(self, key: str) -> None:
        self._now.add(key)
        if len(self._now) >= self._size:
            self._before, self._now = self._now, set()

    def take(self, key: str) -> bool:
        """Forget a key; tell whether it was there."""
        if key in self._now:
            self._now.remove(key)
            return True
        if key in self._before:
            self._before.remove(key)
            return True
        return False


class S3Fifo(Generic[V]):
    """Entries in two queues; what is taken out by hand leaves its place in the queue until that is reached."""

    __slots__ = (
        "_cells", "_from_main", "_from_small", "_least", "_main", "_main_lives", "_most", "_small", "_small_lives",
        "_step", "_target",
    )  # fmt: skip

    def __init__(self, max_size: int) -> None:
        self._cells: dict[str, _Cell[V]] = {}
        self._small: deque[_Cell[V]] = deque()
        self._main: deque[_Cell[V]] = deque()
        self._small_lives = self._main_lives = 0
        self._from_small = Ghosts(max(1, int(max_size * _GHOSTS_OF_SMALL)))
        self._from_main = Ghosts(max(1, int(max_size * _GHOSTS_OF_MAIN)))
        self._target = max(1.0, max_size * _SMALL_AT_FIRST)
        self._least, self._most = max(1.0, max_size * _SMALL_AT_LEAST), max(1.0, max_size * _SMALL_AT_MOST)
        self._step = max(1.0, max_size * _STEP)

    def __len__(self) -> int:
        return len(self._cells)

    def use(self, key: str) -> Entry[V] | None:
        cell = self._cells.get(key)
        if cell is None:
            return None
        if cell.uses < _MOST_USES:
            cell.uses += 1
        return cell.entry

    def peek(self, key: str) -> Entry[V] | None:
        cell = self._cells.get(key)
        return None if cell is None else cell.entry

    def put(self, key: str, entry: Entry[V]) -> None:
        cell = self._cells.get(key)
        if cell is not None:
            cell.entry = entry
        elif self._from_small.take(key):
            self._target = min(self._most, self._target + self._step)
            self._add(key, entry, is_main=True, uses=0)
        elif self._from_main.take(key):
            self._target = max(self._least, self._target - self._step)
            self._add(key, entry, is_main=True, uses=_USES_OF_ONE_THAT_COMES_BACK)
        else:
            self._add(key, entry, is_main=False, uses=0)

    def pop(self, key: str) -> Entry[V] | None:
        cell = self._cells.pop(key, None)
        if cell is None:
            return None
        entry = cell.entry
        cell.lives = False
        del cell.entry  # its value is not to stay for as long as its place does
        self._count(cell, -1)
        self._tidy()
        return entry

    def evict(self) -> None:
        while not (self._evicted_of_small() if self._is_small_next() else self._evicted_of_main()):
            continue

    def _is_small_next(self) -> bool:
        return self._small_lives >= self._target or not self._main_lives

    def _evicted_of_small(self) -> bool:
        """Look at the first of the small queue; tell whether it had to go."""
        cell = self._small.popleft()
        if not cell.lives:
            return False
        self._count(cell, -1)
        if cell.uses:
            cell.uses = 0
            cell.is_main = True
            self._main.append(cell)
            self._count(cell, 1)
            return False
        del self._cells[cell.key]
        self._from_small.add(cell.key)
        return True

    def _evicted_of_main(self) -> bool:
        """Look at the first of the main queue; tell whether it had to go."""
        cell = self._main.popleft()
        if not cell.lives:
            return False
        if cell.uses:
            cell.uses -= 1
            self._main.append(cell)
            return False
        self._count(cell, -1)
        del self._cells[cell.key]
        self._from_main.add(cell.key)
        return True

    def _add(self, key: str, entry: Entry[V], *, is_main: bool, uses: int) -> None:
        cell = self._cells[key] = _Cell(key, entry, is_main=is_main, uses=uses)
        (self._main if is_main else self._small).append(cell)
        self._count(cell, 1)

    def _count(self, cell: _Cell[V], change: int) -> None:
        if cell.is_main:
            self._main_lives += change
        else:
            self._small_lives += change

    def _tidy(self) -> None:
        """Forget the places of what was taken out, before there are more of those than of what lives."""
        if len(self._small) + len(self._main) > 2 * len(self._cells) + 64:
            self._small = deque(cell for cell in self._small if cell.lives)
            self._main = deque(cell for cell in self._main if cell.lives)
