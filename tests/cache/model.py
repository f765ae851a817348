"""The memory cache in its plainest form: slow, and plainly right."""

from __future__ import annotations

import math
from dataclasses import dataclass

from heykit.cache import CacheStats, Strategy


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Kept:
    value: object
    expires: float
    came: int
    set: int
    used: int


class Model:
    def __init__(self, strategy: Strategy, max_size: int, default_ttl: float | None, clock: Clock) -> None:
        self.strategy = strategy
        self.max_size = max_size
        self.default_ttl = default_ttl
        self.clock = clock
        self.kept: dict[str, Kept] = {}
        self.steps = 0
        self.hits = self.misses = self.evictions = self.expiries = 0

    def get(self, key: str, default: object = None) -> object:
        self.steps += 1
        if not self.live(key):
            self.misses += 1
            return default
        self.hits += 1
        self.kept[key].used = self.steps
        return self.kept[key].value

    def set(self, key: str, value: object, ttl: float | None) -> None:
        self.steps += 1
        lasts = math.inf if self.default_ttl is None else self.default_ttl
        expires = self.clock.now + (lasts if ttl is None else ttl)
        came = self.kept[key].came if self.live(key) else self.steps
        if key not in self.kept and len(self.kept) >= self.max_size:
            self.make_room()
        self.kept[key] = Kept(value, expires, came, self.steps, self.steps)

    def delete(self, key: str) -> bool:
        live = self.live(key)
        self.kept.pop(key, None)
        return live

    def clear(self) -> None:
        self.kept.clear()

    def live(self, key: str) -> bool:
        if key in self.kept and self.kept[key].expires <= self.clock.now:
            del self.kept[key]
            self.expiries += 1
        return key in self.kept

    def make_room(self) -> None:
        soonest = min(self.kept, key=self.soonness)
        if self.kept[soonest].expires <= self.clock.now:
            del self.kept[soonest]
            self.expiries += 1
            return
        oldest = min(self.kept, key=lambda key: self.kept[key].came)
        least_used = min(self.kept, key=lambda key: self.kept[key].used)
        del self.kept[{"lru": least_used, "fifo": oldest, "ttl": soonest}[self.strategy]]
        self.evictions += 1

    def soonness(self, key: str) -> tuple[float, int]:
        return self.kept[key].expires, self.kept[key].set

    def next_expiry(self) -> float:
        later = [kept.expires for kept in self.kept.values() if self.clock.now < kept.expires < math.inf]
        return min(later, default=self.clock.now)

    def stats(self) -> CacheStats:
        return CacheStats(self.hits, self.misses, len(self.kept), self.evictions, self.expiries)
