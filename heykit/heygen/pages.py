"""Pages of a long list, newest first, by keyset: a page starts where the last ended, whatever was added meanwhile.

A cursor is opaque to those who carry it: it holds the place (instant and identifier) of the last item they saw.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from heykit.heygen.errors import Invalid
from heykit.heygen.instants import from_microseconds, microseconds

LONGEST_PAGE = 100
_CURSOR = re.compile(rb"(\d{1,18})\.([0-9a-f]{32})")


class Listed(Protocol):
    """What can stand in a page."""

    @property
    def id(self) -> str: ...
    @property
    def created_at(self) -> datetime: ...


T = TypeVar("T")
L = TypeVar("L", bound=Listed)


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and the cursor that asks for those after them; `None` on the last page."""

    items: tuple[T, ...]
    next_cursor: str | None


class Place(NamedTuple):
    """A place in the list; a page holds what comes after it."""

    created_at: datetime
    id: str


# Newer than anything there is.
_START = Place(datetime(9999, 1, 1, tzinfo=UTC), "")


def place_of(cursor: str | None) -> Place:
    """Read a cursor, `None` is the start of the list; anything but a cursor of ours is Invalid."""
    if cursor is None:
        return _START
    try:
        found = _CURSOR.fullmatch(urlsafe_b64decode(cursor.encode("ascii")))
        if found:
            return Place(from_microseconds(int(found[1])), found[2].decode())
    except (ValueError, OverflowError):
        pass
    raise Invalid("cursor", "take the one that the page before gave, or none for the first page")


def cursor_of(item: Listed) -> str:
    """Give the cursor for what comes after an item."""
    return urlsafe_b64encode(f"{microseconds(item.created_at)}.{item.id}".encode()).decode()


def checked_limit(limit: int) -> int:
    """Give back how many items a page may hold; Invalid outside 1 to 100."""
    if not 1 <= limit <= LONGEST_PAGE:
        raise Invalid("limit", f"a page holds 1 to {LONGEST_PAGE} items")
    return limit


def page(found: Sequence[L], limit: int) -> Page[L]:
    """Make a page of up to `limit` items from what was found when one more was asked for."""
    items = tuple(found[:limit])
    return Page(items, cursor_of(items[-1]) if len(found) > limit else None)
