"""Hit ratios of the strategies over published traces, and over loops and scans made here.

Run it from the root of the repository: `python -m tests.benchmarks.cache --traces DIR`, where DIR holds `NAME.u32.gz`
files: gzip of little-endian 32-bit numbers, one a request. `pip install theine` for the comparison with it.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import itertools
import math
import random
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from heykit.cache import Strategy
from heykit.cache._entry import Entry
from heykit.cache._expiries import Expiries
from heykit.cache._policy import Policy, policy
from tests.benchmarks.driving import say

SIZES = (0.01, 0.05, 0.2)
COMPARED: Sequence[Strategy] = ("lru", "lfu", "fifo", "s3fifo")
AT_LEAST, AT_MOST_BELOW_LRU = 63.0, 1.0  # per cent; points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=Path, help="a directory of traces; without it only what is made here")
    options = parser.parse_args()
    found = _tell("loops, scans and shifts, made here", made())
    if found["theine"]:
        lead = mean(found["s3fifo"]) - mean(found["theine"])
        say(f"s3fifo before theine: {lead:+.2f}   at least 0  {_verdict(lead, 0)}")
    if options.traces is None:
        return
    traces = {path.name.partition(".")[0]: _read(path) for path in sorted(options.traces.glob("*.gz"))}
    found = _tell(
        f"traces, at {', '.join(f'{size:.0%}' for size in SIZES)} of the distinct keys",
        {name: (requests, [int(len(set(requests)) * size) for size in SIZES]) for name, requests in traces.items()},
    )
    lru, ours = found["lru"], found["s3fifo"]
    worst = min(own - other for own, other in zip(ours, lru, strict=True))
    say(f"s3fifo: mean {mean(ours):.2f}   at least {AT_LEAST}  {_verdict(mean(ours), AT_LEAST)}")
    least = -AT_MOST_BELOW_LRU
    say(f"s3fifo at its worst against lru: {worst:+.2f}   at least {least}  {_verdict(worst, least)}")


def ratio(strategy: Strategy, requests: Sequence[int], size: int) -> float:
    """Give the share of requests that are hits, in per cent."""
    cache: Policy[None] = policy(strategy, size, Expiries())
    hits = 0
    for number in requests:
        key = str(number)
        entry = cache.entries.get(key)
        if entry is not None:
            hits += 1
            entry.uses += 1
            if cache.used is not None:
                cache.used(key)
            continue
        if len(cache.entries) >= size:
            cache.evict()
        cache.add(Entry(key, None, math.inf))
    return 100 * hits / len(requests)


def _theine(requests: Sequence[int], size: int) -> float | None:
    """Give the same of theine (W-TinyLFU), where it is installed; it evicts with some chance, and so varies."""
    try:
        made: Any = importlib.import_module("theine").Cache(size)
    except ModuleNotFoundError:
        return None
    hits = 0
    for number in requests:
        key = str(number)
        if made.get(key)[1]:
            hits += 1
        else:
            made.set(key, 1)
    made.close()
    return 100 * hits / len(requests)


def _verdict(value: float, least: float) -> str:
    return "pass" if value >= least else "FAIL"


def made() -> Mapping[str, tuple[Sequence[int], Sequence[int]]]:
    """Make what breaks simple strategies, each with sizes: loops that are just too long, scans, popularity that shifts.

    Popularity is zipf(0.99) over 5,000 keys.
    """
    chance = random.Random(11)
    weights = [*itertools.accumulate(1 / (rank + 1) ** 0.99 for rank in range(5000))]

    def popular(length: int, shift: int = 0) -> list[int]:
        return [number + shift for number in chance.choices(range(5000), cum_weights=weights, k=length)]

    def scanned(number: int) -> Sequence[int]:
        return range(10**7 + 6000 * number, 10**7 + 6000 * number + 2000)

    return {
        "loop": ([*range(1000)] * 30, (500, 800, 950)),
        "loop+zipf": ([x for _ in range(30) for x in (*range(1000), *popular(400, 10**6))], (500, 800, 950)),
        "scan": ([x for part in range(40) for x in (*popular(3000), *scanned(part))], (250, 500, 1000)),
        "shift": ([x for part in range(10) for x in popular(8000, part * 2500)], (250, 500, 1000)),
        "zipf": (popular(100_000), (250, 500, 1000)),
    }


def _read(path: Path) -> Sequence[int]:
    numbers = array("I")
    numbers.frombytes(gzip.decompress(path.read_bytes()))
    return numbers


def _tell(title: str, traces: Mapping[str, tuple[Sequence[int], Sequence[int]]]) -> Mapping[str, list[float]]:
    say(f"{title}: hits in per cent at three sizes")
    found: dict[str, list[float]] = {name: [] for name in (*COMPARED, "theine")}
    for name, (requests, sizes) in traces.items():
        for strategy in COMPARED:
            found[strategy] += _row(name, strategy, [ratio(strategy, requests, size) for size in sizes])
        peer = [found_there for size in sizes if (found_there := _theine(requests, size)) is not None]
        found["theine"] += _row(name, "theine", peer)
    for each, all_of_it in found.items():
        if all_of_it:
            say(f"  mean       {each:8}{mean(all_of_it):7.2f}")
    return found


def _row(name: str, strategy: str, ratios: list[float]) -> list[float]:
    if ratios:
        say(f"  {name:10} {strategy:8}" + "".join(f"{each:7.1f}" for each in ratios))
    return ratios


if __name__ == "__main__":
    main()
