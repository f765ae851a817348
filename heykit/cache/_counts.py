"""What a cache counts of itself: one mutable record, which every part of it adds to."""

from __future__ import annotations

from dataclasses import dataclass, fields

from heykit.cache.protocol import CacheStats


@dataclass(slots=True)
class Counts:
    hits: int = 0
    misses: int = 0
    evictions: int = 0
    expiries: int = 0
    loads: int = 0
    load_seconds: float = 0.0
    coalesced: int = 0
    invalidations: int = 0
    l1_hits: int = 0
    l2_hits: int = 0
    errors: int = 0

    def stats(self, size: int, weight: int) -> CacheStats:
        """Give what is counted so far, with how much is kept now."""
        return CacheStats(**{field.name: getattr(self, field.name) for field in fields(self)}, size=size, weight=weight)
