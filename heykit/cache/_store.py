"""Values in this process's memory, each gone exactly when its time is over, with no task in the background."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from heykit.cache._counts import Counts
from heykit.cache._entry import Entry, Note
from heykit.cache._expiries import Expiries
from heykit.cache._policy import Policy, Strategy, policy
from heykit.cache._tokens import Token
from heykit.cache.protocol import CacheStats

V = TypeVar("V")


def checked_ttl(ttl: float, name: str = "ttl") -> float:
    """Give back a time to live in seconds; one that is not above 0 (NaN is not) is a ValueError."""
    if not ttl > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {ttl!r}; leave it out for the default")
    return ttl


@dataclass(frozen=True)
class Rules(Generic[V]):
    """How much a store keeps, for how long, and what goes first. Raises ValueError for what makes no sense."""

    max_size: int
    default_ttl: float | None = None
    strategy: Strategy = "s3fifo"
    weigh: Callable[[V], int] | None = None
    jitter: float = 0.0
    clock: Callable[[], float] = time.monotonic
    entropy: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if not self.max_size >= 1:  # nor NaN
            raise ValueError(f"max_size must be 1 or more, not {self.max_size!r}")
        if self.default_ttl is not None:
            checked_ttl(self.default_ttl, "default_ttl")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter must be 0 or more and below 1, the share of a time to live, not {self.jitter!r}")
        policy(self.strategy, 1, Expiries[V]())

    def lifetime(self, ttl: float | None) -> float:
        """Give the seconds a value lives: its own time or the default."""
        seconds = (math.inf if self.default_ttl is None else self.default_ttl) if ttl is None else checked_ttl(ttl)
        return seconds * (1 - self.jitter * self.entropy()) if self.jitter else seconds

    def shortest(self, ttl: float | None) -> float:
        """Give the seconds a value lives at least."""
        seconds = (math.inf if self.default_ttl is None else self.default_ttl) if ttl is None else ttl
        return seconds * (1 - self.jitter)


class Store(Generic[V]):
    """Entries up to a size. It awaits nothing, so whatever it does is done at once."""

    __slots__ = (
        "_add", "_most", "_notes", "_policy", "_rules", "_turn_over", "_weigh", "clock", "counts",
        "entries", "evictions", "expiries", "used", "weight",
    )  # fmt: skip

    def __init__(self, rules: Rules[V], counts: Counts) -> None:
        self._rules = rules
        self._most = rules.max_size
        self._weigh = rules.weigh
        self.clock = rules.clock
        self.counts = counts
        self.evictions = 0  # those not counted yet
        self.clear()

    def clear(self) -> None:
        self.weight = 0
        self.expiries: Expiries[V] = Expiries()
        self._policy: Policy[V] = policy(self._rules.strategy, self._rules.max_size, self.expiries)
        self._add = self._policy.add
        self._turn_over = self._policy.turn_over
        self.entries = self._policy.entries
        self.used = self._policy.used
        self._notes = self._weigh is not None or self.used is not None

    def find(self, key: str) -> Entry[V] | None:
        """Give the entry of a key, which counts as a use; what has expired or hangs on what was dropped goes."""
        entry = self.entries.get(key)
        if entry is None:
            return None
        if entry.expires != math.inf and entry.expires <= self.clock():
            self._expire(entry)
            return None
        if entry.note is not None and any(tag.dropped for tag in entry.note.tags):
            self._remove(entry)
            return None
        entry.uses += 1
        if self.used is not None:
            self.used(key)
        return entry

    def put(
        self, key: str, value: V, lifetime: float, tags: tuple[Token, ...] = (), *, is_mutable: bool = False
    ) -> None:
        """Keep a value in the place of what the key had; one that is larger than the whole store is not kept."""
        note, weight = None, 1
        if self._notes or tags or is_mutable:
            weight = 1 if self._weigh is None else _checked_weight(self._weigh(value))
            note = Note(weight, tags, is_mutable=is_mutable)
        # Where nothing expires any instant will do.
        now = 0.0 if lifetime == self.expiries.soonest == math.inf else self.clock()
        entry = self.entries.get(key)
        if entry is not None and self._has_replaced(entry, value, now, lifetime, note):
            return
        room = self._most - weight
        if room < 0:
            return
        expires = now + lifetime
        if self.weight > room and self._weigh is None and (self.expiries.soonest > now or not self._is_one_gone(now)):
            # What is let go stands for the new one: it is at hand, and has its place in the line of expiries.
            entry = self._turn_over(key)
            entry.value = value
            entry.expires = expires
            entry.note = note
            self.evictions += 1
        else:
            while self.weight > room:
                self._make_room(now)
            self.weight += weight
            entry = Entry(key, value, expires, note)
            self._add(entry)
        if expires < entry.due and expires != math.inf:
            self.expiries.add(entry)

    def drop(self, key: str) -> bool:
        """Take a value out; tell whether there was one that had not expired."""
        entry = self.entries.get(key)
        if entry is None:
            return False
        if entry.expires <= self.clock():
            self._expire(entry)
            return False
        held = entry.note is None or not any(tag.dropped for tag in entry.note.tags)
        self._remove(entry)
        return held

    def stats(self) -> CacheStats:
        self.counts.evictions += self.evictions
        self.evictions = 0
        return self.counts.stats(len(self.entries), self.weight)

    def _has_replaced(self, entry: Entry[V], value: V, now: float, lifetime: float, note: Note | None) -> bool:
        """Give an entry that lives another value in its place, or take it out."""
        if entry.expires <= now:
            self._expire(entry)
            return False
        if entry.weight != (1 if note is None else note.weight):
            self._remove(entry)
            return False
        entry.value = value
        entry.note = note
        was, entry.expires = entry.expires, now + lifetime
        if entry.expires < entry.due and entry.expires not in (was, math.inf):
            self.expiries.add(entry)
        if self.used is not None:
            self.used(entry.key)
        return True

    def _is_one_gone(self, now: float) -> bool:
        """Take out what expired first, where something has."""
        if self.expiries.soonest > now:
            return False
        expired = self.expiries.pop(until=now)
        if expired is not None:
            self._expire(expired)
        return expired is not None

    def _make_room(self, now: float) -> None:
        if not self._is_one_gone(now):
            gone = self._policy.evict()
            self.weight -= gone.weight
            self.evictions += 1
            _empty(gone)

    def _expire(self, entry: Entry[V]) -> None:
        self._remove(entry)
        self.counts.expiries += 1

    def _remove(self, entry: Entry[V]) -> None:
        self._policy.remove(entry)
        self.weight -= entry.weight
        _empty(entry)


def _empty(entry: Entry[V]) -> None:
    """Let a value go at once: its entry stays for as long as it has a place in some order."""
    del entry.value
    entry.note = None


def _checked_weight(weight: int) -> int:
    if not weight >= 0:
        raise ValueError(f"weigh must give 0 or more, not {weight!r}")
    return weight
