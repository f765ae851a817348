"""A cache's counts as the figures of its health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from heykit.cache.protocol import CacheStats


def figures(stats: CacheStats, **more: float | str) -> Mapping[str, int | float | str]:
    return {**asdict(stats), **more}
