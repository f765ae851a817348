"""The nearest spelling of a name."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Find the candidate that `name` most likely misspells; letter case does not count. None if none is near."""
    folded = name.casefold()
    # A name of quite another length is not near, and to measure a long one takes the square of its length.
    alike = [each for each in candidates if abs(len(each.casefold()) - len(folded)) <= _allowed(each)]
    measured = ((edits(folded, each.casefold(), _allowed(each)), each) for each in alike)
    near = [(count, candidate) for count, candidate in measured if count <= _allowed(candidate)]
    return min(near)[1] if near else None


def _allowed(name: str) -> int:
    # One slip in a short name, two in a longer one: `PORT` is not `HOST`, and `SERVICE` not `SERVER`.
    return 0 if len(name) < 3 else 1 if len(name) < 6 else 2


def is_slip(name: str, candidate: str) -> bool:
    """Tell whether letters have changed places, one within is left out, or one is typed twice.

    Of a short name, one letter makes another word: `DATE` of `DATA`, `MODEL` of `MODE`.
    """
    if len(name) == len(candidate) - 1:
        return any(candidate[:at] + candidate[at + 1 :] == name for at in range(1, len(candidate) - 1))
    if len(name) == len(candidate) + 1:
        return any(name[at] == name[at - 1] and name[:at] + name[at + 1 :] == candidate for at in range(1, len(name)))
    return sorted(name) == sorted(candidate)


def edits(left: str, right: str, most: float = inf) -> int:
    """Count the letters to insert, delete, replace or swap (the optimal string alignment distance).

    Where there are more than `most`, some number above it is given.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left):
        earlier, before = before, row
        row = [i + 1]
        for j, b in enumerate(right):
            cost = min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1)
            if i and j and a == right[j - 1] and b == left[i - 1]:
                cost = min(cost, earlier[j - 1] + 1)
            row.append(cost)
        if min(row) > most:
            break
    return max(row[-1], min(row))
