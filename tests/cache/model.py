"""The memory cache in its plainest form: slow, and plainly right."""

from __future__ import annotations

import math
from collections.abc import Callable
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
    used: int
    uses: int
    weight: int


class Queues:
    """S3-FIFO over keys alone: lists in the order of coming, and one place for each ghost."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.small: list[str] = []
        self.main: list[str] = []
        self.uses: dict[str, int] = {}
        self.weight: dict[str, int] = {}
        self.target = max(1.0, size * 0.05)
        self.ghosts: dict[int, tuple[str, str]] = {}
        self.seen = 0
        self.is_filling = True
        self.regret = self.forgets = 0.0

    def come(self, key: str, weight: int) -> None:
        self.uses[key], self.weight[key] = 0, weight
        least, most, step = max(1.0, self.size * 0.03), max(1.0, self.size * 0.2), max(1.0, self.size * 0.01)
        found, origin = self.ghosts.get(self.place(key), ("", ""))
        if found == key:
            del self.ghosts[self.place(key)]
            if origin == "small":
                self.target = min(most, self.target + step)
            else:
                self.target = max(least, self.target - step)
                self.regret = min(1.0, self.regret + 1 - self.forgets)
                self.uses[key] = 3
            if self.regret < 0.7 or not self.weighs(self.main):
                self.main.append(key)
                return
            self.target = max(least, self.target - step)
            self.uses[key] = 0
            first = self.main.pop(0)
            self.main.append(first)
            was_used = self.uses[first] > 0
            if was_used:
                self.uses[first] = min(7, self.uses[first]) - 1
            self.regret = 1 - (1 - self.regret) * self.forgets if was_used else self.regret * self.forgets
        if self.is_filling and self.weighs(self.small) >= self.target:
            first = self.small.pop(0)
            self.uses[first] = 0
            self.main.append(first)
        self.small.append(key)

    def use(self, key: str) -> None:
        self.uses[key] += 1

    def leave(self, key: str) -> None:
        (self.small if key in self.small else self.main).remove(key)

    def first(self) -> str:
        self.is_filling = False
        while True:
            if self.weighs(self.small) >= self.target or not self.weighs(self.main):
                key = self.small.pop(0)
                if not self.uses[key]:
                    return self.haunt(key, "small")
                self.uses[key] = 0
            else:
                key = self.main.pop(0)
                if not self.uses[key]:
                    self.regret *= self.forgets
                    return self.haunt(key, "main")
                self.uses[key] = min(7, self.uses[key]) - 1
            self.main.append(key)

    def haunt(self, key: str, origin: str) -> str:
        left = len(self.small) + len(self.main)
        if left >= self.seen:
            self.seen = 2 * (left + 1) if self.seen else left + 1
            self.forgets = 1 - 1 / max(8.0, 0.5 * (left + 1))
            self.ghosts = {}
        self.ghosts[self.place(key)] = (key, origin)
        return key

    def place(self, key: str) -> int:
        return hash(key) % (int(1.2 * max(1, self.seen)) + 1)

    def weighs(self, queue: list[str]) -> int:
        return sum(self.weight[key] for key in queue)


class Model:
    def __init__(
        self,
        strategy: Strategy,
        max_size: int,
        default_ttl: float | None,
        clock: Clock,
        weigh: Callable[[object], int] = lambda _: 1,
    ) -> None:
        self.strategy = strategy
        self.max_size = max_size
        self.default_ttl = default_ttl
        self.clock = clock
        self.weigh = weigh
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
        self.kept[key].uses += 1
        self.queues.use(key)
        return self.kept[key].value

    def set(self, key: str, value: object, ttl: float | None) -> None:
        self.steps += 1
        lasts = math.inf if self.default_ttl is None else self.default_ttl
        expires = self.clock.now + (lasts if ttl is None else ttl)
        weight = self.weigh(value)
        if self.live(key):
            if self.kept[key].weight == weight:
                old = self.kept[key]
                self.kept[key] = Kept(value, expires, old.came, self.steps, old.uses, weight)
                return
            self.drop(key)
        if weight > self.max_size:
            return
        while sum(kept.weight for kept in self.kept.values()) + weight > self.max_size:
            self.make_room()
        self.queues.come(key, weight)
        self.kept[key] = Kept(value, expires, self.steps, self.steps, 0, weight)

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
        last_used = min(self.kept, key=lambda key: self.kept[key].used)
        least_used = min(self.kept, key=lambda key: (self.kept[key].uses, self.kept[key].came))
        if self.strategy == "s3fifo":
            del self.kept[self.queues.first()]
        else:
            self.drop({"lru": last_used, "lfu": least_used, "fifo": oldest, "ttl": soonest}[self.strategy])
        self.evictions += 1

    def drop(self, key: str) -> None:
        del self.kept[key]
        self.queues.leave(key)

    def soonness(self, key: str) -> tuple[float, int, str]:
        kept = self.kept[key]
        return kept.expires, kept.came if kept.expires == math.inf else 0, key

    def next_expiry(self) -> float:
        later = [kept.expires for kept in self.kept.values() if self.clock.now < kept.expires < math.inf]
        return min(later, default=self.clock.now)

    def stats(self) -> CacheStats:
        weight = sum(kept.weight for kept in self.kept.values())
        return CacheStats(
            self.hits, self.misses, len(self.kept), evictions=self.evictions, expiries=self.expiries, weight=weight
        )
