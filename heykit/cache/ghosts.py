"""Keys of what had to go, remembered a while: fingerprints of four bytes, and no key at all."""

from __future__ import annotations

from array import array
from typing import Final, Literal, TypeAlias

Origin: TypeAlias = Literal[0, 1, 2]
"""Where a key was: in no queue, in the small one, in the main one."""
NONE: Final = 0
SMALL: Final = 1
MAIN: Final = 2

_PLACES: Final = 1.2  # for each entry of the cache
_MARK: Final = 0xFFFFFFF0  # of a fingerprint; its lowest bits are where the key was, and that there is one
_IS_THERE: Final = 8


class Ghosts:
    """One place for each key, which its hash points to, and which it takes from whoever is there.

    So the oldest are the likeliest to be forgotten. Two keys of one fingerprint, in one place, are taken for each other:
    one in some thousand million.
    """

    __slots__ = ("_marks", "_size")

    def __init__(self, entries: int) -> None:
        self._size = int(_PLACES * entries) + 1
        self._marks = array("I", bytes(4 * self._size))

    def add(self, key: str, origin: Origin) -> None:
        """Remember a key."""
        hashed = hash(key)
        self._marks[hashed % self._size] = (hashed >> 32 & _MARK) + (_IS_THERE + origin)

    def take(self, key: str) -> Origin:
        """Forget a key; tell where it was."""
        hashed = hash(key)
        place = hashed % self._size
        found = self._marks[place] - (hashed >> 32 & _MARK) - _IS_THERE
        if found == SMALL or found == MAIN:
            self._marks[place] = 0
            return SMALL if found == SMALL else MAIN
        return NONE
