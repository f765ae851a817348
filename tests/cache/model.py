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


class Queues:
    """S3-FIFO over keys alone, as its paper tells it: lists in the order of coming, ghosts in halves."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.small: list[str] = []
        self.main: list[str] = []
        self.uses: dict[str, int] = {}
        self.target = max(1.0, size * 0.05)
        self.ghosts: dict[str, list[set[str]]] = {"small": [set(), set()], "main": [set(), set()]}

    def come(self, key: str) -> None:
        step = max(1.0, self.size * 0.01)
        if self.seen("small", key):
            self.target = min(max(1.0, self.size * 0.3), self.target + step)
            self.main.append(key)
            self.uses[key] = 0
        elif self.seen("main", key):
            self.target = max(1.0, self.size * 0.03, self.target - step)
            self.main.append(key)
            self.uses[key] = 3
        else:
            self.small.append(key)
            self.uses[key] = 0

    def use(self, key: str) -> None:
        self.uses[key] = min(15, self.uses[key] + 1)

    def leave(self, key: str) -> None:
        (self.small if key in self.small else self.main).remove(key)

    def first(self) -> str:
        while True:
            if len(self.small) >= self.target or not self.main:
                key = self.small.pop(0)
                if not self.uses[key]:
                    self.haunt("small", key, max(1, int(self.size * 0.4)))
                    return key
                self.uses[key] = 0
            else:
                key = self.main.pop(0)
                if not self.uses[key]:
                    self.haunt("main", key, max(1, int(self.size * 0.5)))
                    return key
                self.uses[key] -= 1
            self.main.append(key)

    def seen(self, queue: str, key: str) -> bool:
        found = any(key in half for half in self.ghosts[queue])
        for half in self.ghosts[queue]:
            half.discard(key)
        return found

    def haunt(self, queue: str, key: str, size: int) -> None:
        now, _ = self.ghosts[queue]
        now.add(key)
        if len(now) >= size:
            self.ghosts[queue] = [set(), now]


class Model:
    def __init__(self, strategy: Strategy, max_size: int, default_ttl: float | None, clock: Clock) -> None:
        self.strategy = strategy
        self.max_size = max_size
        self.default_ttl = default_ttl
        self.clock = clock
        self.kept: dict[str, Kept] = {}
        self.queues = Queues(max_size)
        self.steps = 0
        self.hits = self.misses = self.evictions = self.expiries = 0

    def get(self, key: str, default: object = None) -> object:
        self.steps += 1
        if not self.live(key):
            self.misses += 1
            return default
        self.hits += 1
        self.kept[key].used = self.steps
        self.queues.use(key)
        return self.kept[key].value

    def set(self, key: str, value: object, ttl: float | None) -> None:
        self.steps += 1
        lasts = math.inf if self.default_ttl is None else self.default_ttl
        expires = self.clock.now + (lasts if ttl is None else ttl)
        came = self.kept[key].came if self.live(key) else self.steps
        if key not in self.kept:
            if len(self.kept) >= self.max_size:
                self.make_room()
            self.queues.come(key)
        self.kept[key] = Kept(value, expires, came, self.steps, self.steps)

    def delete(self, key: str) -> bool:
        live = self.live(key)
        if live:
            self.drop(key)
        return live

    def clear(self) -> None:
        self.kept.clear()
        self.queues = Queues(self.max_size)

    def live(self, key: str) -> bool:
        if key in self.kept and self.kept[key].expires <= self.clock.now:
            self.drop(key)
            self.expiries += 1
        return key in self.kept

    def make_room(self) -> None:
        soonest = min(self.kept, key=self.soonness)
        if self.kept[soonest].expires <= self.clock.now:
            self.drop(soonest)
            self.expiries += 1
            return
        oldest = min(self.kept, key=lambda key: self.kept[key].came)
        least_used = min(self.kept, key=lambda key: self.kept[key].used)
        if self.strategy == "s3fifo":
            del self.kept[self.queues.first()]
        else:
            self.drop({"lru": least_used, "fifo": oldest, "ttl": soonest}[self.strategy])
        self.evictions += 1

    def drop(self, key: str) -> None:
        del self.kept[key]
        self.queues.leave(key)

    def soonness(self, key: str) -> tuple[float, int]:
        return self.kept[key].expires, self.kept[key].set

    def next_expiry(self) -> float:
        later = [kept.expires for kept in self.kept.values() if self.clock.now < kept.expires < math.inf]
        return min(later, default=self.clock.now)

    def stats(self) -> CacheStats:
        return CacheStats(self.hits, self.misses, len(self.kept), self.evictions, self.expiries)
