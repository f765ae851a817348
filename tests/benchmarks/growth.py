"""How the cost of wiring grows with the graph: a request on a compiled route, and the start of an application.

Run it from the root of the repository: `python -m tests.benchmarks.growth [--rounds N] [--requests N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from fastapi import FastAPI

from heykit import wiring
from tests.benchmarks import graphs
from tests.benchmarks.driving import Measured, interleaved, over, require_right, say, served, spread, verdict
from tests.benchmarks.graphs import Contender, Graph, diamonds, fan

SIZES = (10, 30, 100, 300)
STRAIGHT = 0.1  # of the largest overhead: how far a point may lie from the line
FRESH = 15  # applications started for one median
START_UP = 50.0  # milliseconds, for 100 nodes
NOTHING = "nothing opened"


@dataclass(frozen=True)
class Kind:
    """Graphs of one kind of node, and the bar: microseconds a node, above hand-written code."""

    name: str
    of: Callable[[int], Graph]
    bar: float


KINDS = (
    Kind("coroutine", diamonds, 0.2),
    Kind("generator", partial(diamonds, form="generator"), 1.0),
    Kind("application-scoped", fan, 0.15),
)


def main() -> None:
    options = _options()
    say("overhead of a compiled route, above hand-written code and above an endpoint that opens nothing:")
    say(f"microseconds of processor time, medians of {options.rounds} rounds of {options.requests} requests")
    say(f"{'nodes':42}{''.join(f'{size:10}' for size in SIZES)}{'a node':>12}{'off':>8}   (off the line, at most)")
    for kind in KINDS:
        asyncio.run(_grow(kind, options.rounds, options.requests))
    say()
    _start_up()
    say()
    _paths()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is driven (default 20)")
    parser.add_argument("--requests", type=int, default=200, help="requests in each round (default 200)")
    return parser.parse_args()


async def _grow(kind: Kind, rounds: int, requests: int) -> None:
    """Measure every size in one interleaved run."""
    async with AsyncExitStack() as stack:
        running = {NOTHING: await stack.enter_async_context(served(_idle()))}
        for size in SIZES:
            for write in (graphs.hand_written, graphs.compiled):
                name = _name(write, size)
                module = graphs.run(write(kind.of(size)), name)
                running[name] = await stack.enter_async_context(served(module.build()))
                await require_right(module, running[name], kind.of(size).generators)
        measured = await interleaved(running, rounds, requests)
    _report(kind, measured)


def _report(kind: Kind, measured: Measured) -> None:
    bases = [_name(graphs.hand_written, size) for size in SIZES]
    above, slope, off = _above(measured, bases)
    straight = "straight" if off <= STRAIGHT * max(map(abs, above)) else "NOT STRAIGHT"
    say(_row(kind.name, above, slope, off) + f"at most {kind.bar:.2f}  {verdict(slope, kind.bar)}, {straight}")
    say(_row("  above an endpoint that opens nothing", *_above(measured, [NOTHING] * len(SIZES))))


def _above(measured: Measured, bases: Sequence[str]) -> tuple[list[float], float, float]:
    """Give the overhead at each size, the slope, and the largest deviation."""
    names = [_name(graphs.compiled, size) for size in SIZES]
    above = [spread(over(measured, name, base)).median for name, base in zip(names, bases, strict=True)]
    return above, *line(SIZES, above)


def _row(name: str, above: Sequence[float], slope: float, off: float) -> str:
    return f"{name:42}{''.join(f'{figure:10.1f}' for figure in above)}{slope:12.3f}{off:8.1f}   "


def line(sizes: Sequence[int], figures: Sequence[float]) -> tuple[float, float]:
    """Fit a line by least squares; give its slope and the largest deviation from it."""
    slope, intercept = statistics.linear_regression(sizes, figures)
    return slope, max(abs(y - (slope * x + intercept)) for x, y in zip(sizes, figures, strict=True))


def _name(write: Contender, size: int) -> str:
    return f"{write.__name__} {size}"


def _idle() -> FastAPI:
    app = FastAPI()

    @app.get("/")
    async def endpoint() -> int:
        return 1

    return app


def _start_up() -> None:
    """Start fresh applications of 100 nodes. FastAPI's own share is what the same takes with one plain dependency."""
    ours = [_stages(graphs.compiled(diamonds(100))) for _ in range(FRESH)]
    plain = [_stages(graphs.chained(diamonds(1))) for _ in range(FRESH)]
    found = {stage: statistics.median(run[stage] for run in ours) for stage in ours[0]}
    theirs = {stage: statistics.median(run[stage] for run in plain) for stage in plain[0]}
    say(f"start-up of 100 nodes: milliseconds of processor time, medians of {FRESH} fresh applications")
    for stage, figure in found.items():
        say(f"{stage:34}{figure:8.2f}   (with one plain dependency: {theirs[stage]:.2f})")
    total = sum(found.values()) - sum(theirs.values())
    say(f"{'our own time':34}{total:8.2f}   at most {START_UP:.0f}  {verdict(total, START_UP)}")


def _stages(source: str) -> Mapping[str, float]:
    module = graphs.run(source, "fresh")
    gc.collect()
    clock = [time.process_time()]
    app = module.build()
    clock.append(time.process_time())
    graph = wiring.read(app)
    clock.append(time.process_time())
    faults = wiring.check(graph)
    clock.append(time.process_time())
    if faults:
        raise AssertionError(faults)
    first, second = asyncio.run(_first_requests(app))
    names = ("declaring the route", "wiring.read", "wiring.check")
    spent = [(after - before) * 1e3 for before, after in pairwise(clock)]
    return {**dict(zip(names, spent, strict=True)), "planning, in the first request": (first - second) / 1e3}


async def _first_requests(app: FastAPI) -> tuple[float, float]:
    """Drive the first request, in which a compiled route makes its plan, and one after."""
    async with served(app) as running:
        await running.drive(1, "/none")  # FastAPI's own first steps
        first = await running.drive(1)
        await running.drive(1)
        return first, await running.drive(1)


def _paths() -> None:
    """Show FastAPI's own resolution of a shared graph beside a compiled route: it visits every path."""
    say("one shared graph, each node on the two before it: FastAPI's own resolution, and a compiled route")
    say(f"{'nodes':>6}{'paths':>9}{'to declare, ms':>18}{'compiled':>12}{'a request, us':>18}{'compiled':>12}")
    for size in (4, 8, 12, 16, 18, 20):
        graph = diamonds(size)
        declared, asked = asyncio.run(_cost(graphs.chained(graph), 200_000 // graph.paths))
        ours_declared, ours_asked = asyncio.run(_cost(graphs.compiled(graph), 1000))
        figures = f"{declared:18.1f}{ours_declared:12.1f}{asked:18.0f}{ours_asked:12.0f}"
        say(f"{size:6}{graph.paths:9}{figures}")


async def _cost(source: str, requests: int) -> tuple[float, float]:
    module = graphs.run(source, "shared")
    started = time.process_time()
    app = module.build()
    declared = (time.process_time() - started) * 1e3
    async with served(app) as running:
        await require_right(module, running, 0)
        return declared, await running.drive(min(requests, 1000))


if __name__ == "__main__":
    main()
