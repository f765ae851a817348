"""Keys of what had to go, remembered a while: fingerprints of four bytes, and no key at all.

There is one place for each key, which its hash points to, and which it takes from whoever is there; so the oldest are
the likeliest to be forgotten. Two keys of one fingerprint, in one place, are taken for each other: one in some thousand
million.
"""

from __future__ import annotations

from array import array
from typing import Final, Literal, TypeAlias

Origin: TypeAlias = Literal[0, 1, 2]
"""Where a key was: in no queue, in the small one, in the main one."""
NONE: Final = 0
SMALL: Final = 1
MAIN: Final = 2

_PLACES: Final = 1.2  # for each entry of the cache


def table(entries: int) -> array[int]:
    """Make the places for the ghosts of so many entries."""
    return array("I", bytes(4 * (int(_PLACES * entries) + 1)))


def mark(hashed: int, origin: int) -> int:
    """Write what stands in the place of a key with this hash: a fingerprint, and where the key was."""
    return (hashed >> 32 & 0xFFFFFFF0) + 8 + origin


def origin_of(found: int, hashed: int) -> Origin:
    """Tell from what stands in the place of a key where that key was."""
    origin = found - mark(hashed, NONE)
    return SMALL if origin == SMALL else MAIN if origin == MAIN else NONE
