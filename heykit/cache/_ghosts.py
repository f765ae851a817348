"""Keys of what had to go, remembered a while: fingerprints of four bytes, and no key at all.

There is one place for each key, which its hash points to, and which it takes from whoever is there; so the oldest are
the likeliest to be forgotten. Two keys of one fingerprint, in one place, are taken for each other: one in some thousand
million. What stands in a place is the fingerprint and the queue the key was in.
"""

from __future__ import annotations

from array import array
from typing import Final

SMALL: Final = 1
MAIN: Final = 2
FINGERPRINT: Final = 0xFFFFFFF0  # of a hash without its lower half, which points to the place

_PLACES: Final = 1.2  # for each entry of the cache


def places(entries: int) -> array[int]:
    """Make the places for the ghosts of so many entries."""
    return array("I", bytes(4 * (int(_PLACES * entries) + 1)))
