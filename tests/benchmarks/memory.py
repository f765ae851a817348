"""Memory over many requests: it must not grow.

Run it from the root of the repository: `python -m tests.benchmarks.memory [--requests N] [--only NAME ...]`. It exits
with 1 if memory grows. Every allocation is traced, so this takes minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tracemalloc
from collections.abc import Mapping

from tests.benchmarks import graphs
from tests.benchmarks.driving import Served, require_right, say, served
from tests.benchmarks.graphs import Contender, Graph, fan, service

CONTENDERS: Mapping[str, tuple[Contender, Graph]] = {
    "heykit providers": (graphs.providers, service(3, 3)),
    "heykit application only": (graphs.plain_functions, service(3, 3)),
    "heykit compiled": (graphs.compiled, service(3, 3)),
    "heykit compiled, one unrelated override": (graphs.overridden, service(3, 3)),
    "heykit lazy": (graphs.lazy, service(3, 3)),
    "heykit keyed, always another key": (graphs.keyed, fan(3)),
}
WARM_UP = 5_000  # requests, after which every cache is full
STEPS = 10
AT_MOST = 16 * 1024  # bytes; one small object kept by one request in a hundred is more than that


def main() -> None:
    options = _options()
    say(f"bytes above those after {WARM_UP:,} requests, at each tenth of {options.requests:,} more")
    grown = [name for name in options.only or CONTENDERS if not asyncio.run(_stays(name, options.requests))]
    if grown:
        sys.exit(f"memory grows: {', '.join(grown)}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000, help="of each contender (default 200000)")
    names = list(CONTENDERS)
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"only these of: {', '.join(names)}")
    return parser.parse_args()


async def _stays(name: str, requests: int) -> bool:
    write, graph = CONTENDERS[name]
    module = graphs.run(write(graph), name)
    async with served(module.build()) as running:
        await require_right(module, running, graph.generators)
        tracemalloc.start()
        try:
            grown = await _growth(running, requests)
        finally:
            tracemalloc.stop()
    stays = grown[-1] <= AT_MOST
    say(f"{name:42}{' '.join(f'{figure:,}' for figure in grown)}   {'stays' if stays else 'GROWS'}")
    return stays


async def _growth(running: Served, requests: int) -> list[int]:
    await running.drive(WARM_UP)
    before = _traced()
    found: list[int] = []
    for _ in range(STEPS):
        await running.drive(requests // STEPS)
        found.append(_traced() - before)
    return found


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


if __name__ == "__main__":
    main()
