"""Hit ratios of the strategies over published traces, and over loops and scans made here.

Run it from the root of the repository: `python -m tests.benchmarks.cache --traces DIR`, where DIR holds `NAME.u32.gz`
files: gzip of little-endian 32-bit numbers, one a request. Sizes are shares of the distinct keys of each.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import random
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from heykit.cache import Strategy
from heykit.cache.entry import Entry
from heykit.cache.policy import Policy, policy
from tests.benchmarks.driving import say

SIZES = (0.01, 0.05, 0.2)
COMPARED: Sequence[Strategy] = ("lru", "fifo", "s3fifo")
AT_LEAST, AT_MOST_BELOW_LRU = 63.0, 1.0  # per cent; points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="a directory of traces; without it only what is made here")
    options = parser.parse_args()
    _tell("loops and scans, made here", made())
    if options.traces is None:
        return
    found = _tell("traces", {path.name.partition(".")[0]: _read(path) for path in sorted(options.traces.glob("*.gz"))})
    lru, ours = found["lru"], found["s3fifo"]
    worst = min(own - other for own, other in zip(ours, lru, strict=True))
    say(f"s3fifo: mean {mean(ours):.2f}   at least {AT_LEAST}  {_verdict(mean(ours), AT_LEAST)}")
    least = -AT_MOST_BELOW_LRU
    say(f"s3fifo at its worst against lru: {worst:+.2f}   at least {least}  {_verdict(worst, least)}")


def ratio(strategy: Strategy, requests: Sequence[int], size: int) -> float:
    """Give the share of requests that are hits, in per cent."""
    cache: Policy[None] = policy(strategy, size)
    hits = 0
    for number in requests:
        key = str(number)
        if cache.use(key) is not None:
            hits += 1
            continue
        if len(cache) >= size:
            cache.evict()
        cache.put(key, Entry(None, 0.0, 0))
    return 100 * hits / len(requests)


def _verdict(value: float, least: float) -> str:
    return "pass" if value >= least else "FAIL"


def made() -> Mapping[str, Sequence[int]]:
    """Make what breaks simple strategies: loops just too long, a scan through popular keys, popularity that shifts."""
    chance = random.Random(7)
    count = 2000
    weights = [*itertools.accumulate(1 / (rank + 1) for rank in range(count))]

    def popular(length: int, shift: int = 0) -> list[int]:
        return [number + shift for number in chance.choices(range(count), cum_weights=weights, k=length)]

    scan = iter(range(10**6, 10**9))
    scanned = [number for part in range(20) for number in (*popular(3000), *itertools.islice(scan, 2000))]
    return {
        "loop": [*range(120)] * 400 + popular(10_000, 10**6),
        "scan": scanned,
        "shift": [number for part in range(10) for number in popular(8000, part * count // 2)],
    }


def _read(path: Path) -> Sequence[int]:
    numbers = array("I")
    numbers.frombytes(gzip.decompress(path.read_bytes()))
    return numbers


def _tell(title: str, traces: Mapping[str, Sequence[int]]) -> Mapping[Strategy, list[float]]:
    say(f"{title}: hits in per cent at sizes of {', '.join(f'{size:.0%}' for size in SIZES)} of the distinct keys")
    found: dict[Strategy, list[float]] = {strategy: [] for strategy in COMPARED}
    for name, requests in traces.items():
        sizes = [max(1, int(len(set(requests)) * size)) for size in SIZES]
        for strategy in COMPARED:
            ratios = [ratio(strategy, requests, size) for size in sizes]
            found[strategy] += ratios
            say(f"  {name:10} {strategy:8}" + "".join(f"{each:7.1f}" for each in ratios))
    for strategy, ratios in found.items():
        say(f"  mean       {strategy:8}{mean(ratios):7.2f}")
    return found


if __name__ == "__main__":
    main()
