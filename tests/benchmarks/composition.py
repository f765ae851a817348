"""What wiring costs a request: heykit, FastAPI's own resolution and peers, above hand-written code.

Run it from the root of the repository: `python -m tests.benchmarks.composition [--rounds N] [--requests N] [--peers]
[--only NAME ...]`. All contenders run in turn in one process; the ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import itertools
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from tests.benchmarks import graphs
from tests.benchmarks.driving import Measured, interleaved, over, ratio, require_right, say, served, spread, verdict
from tests.benchmarks.graphs import Contender, Graph

HAND, FLAT, CHAINED = "hand-written", "fastapi flat", "fastapi chained"
WIREUP, WIREUP_ROUTE = "wireup", "wireup on its own route class"
PROVIDERS, FUNCTIONS = "heykit providers", "heykit application only"
COMPILED, OVERRIDDEN = "heykit compiled", "heykit compiled, one unrelated override"

CONTENDERS: Mapping[str, Contender] = {
    HAND: graphs.hand_written,
    FLAT: graphs.flat,
    CHAINED: graphs.chained,
    PROVIDERS: graphs.providers,
    FUNCTIONS: graphs.plain_functions,
    COMPILED: graphs.compiled,
    OVERRIDDEN: graphs.overridden,
}
PEERS: Mapping[str, Contender] = {WIREUP: graphs.wireup, WIREUP_ROUTE: graphs.wireup_route, "dishka": graphs.dishka}
GRAPHS: Mapping[str, Graph] = {"small": graphs.service(3, 3), "large": graphs.service(20, 10)}
# From where nothing could cancel a request its clean-up need not be shielded; behind some middleware something can.
WITHIN: Mapping[str, bool] = {"": False, ", within a scope that could cancel it": True}
MANY_PATHS = 1000  # FastAPI visits each of them in every request


@dataclass(frozen=True)
class Bar:
    """At most so much: the cost of one divided by that of another, on the small and on the large graph."""

    one: str
    other: str
    small: float
    large: float
    above_hand_written: bool = True

    def at_most(self, size: str) -> float:
        return self.small if size.startswith("small") else self.large


BARS = (
    Bar(COMPILED, FLAT, 0.22, 0.06),
    Bar(COMPILED, WIREUP, 0.75, 0.65),
    Bar(COMPILED, WIREUP_ROUTE, 0.75, 0.65),
    Bar(PROVIDERS, FLAT, 0.60, 0.15),
    Bar(FUNCTIONS, FLAT, 1.0, 1.0),
    Bar(OVERRIDDEN, COMPILED, 1.5, 1.5, above_hand_written=False),
)


def main() -> None:
    options = _options()
    if options.peers and (missing := [name for name in ("wireup", "dishka") if importlib.util.find_spec(name) is None]):
        sys.exit(f"--peers needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    contenders = {**CONTENDERS, **(PEERS if options.peers else {})}
    wanted = {HAND, FLAT, *(options.only or contenders)}
    for (size, graph), (where, within) in itertools.product(GRAPHS.items(), WITHIN.items()):
        chosen = {name: write for name, write in contenders.items() if name in wanted and _is_payable(name, graph)}
        measured = asyncio.run(_measured(graph, chosen, options, within=within))
        _report(f"{size} graph{where}", graph, measured, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="how often each is driven (default 30)")
    parser.add_argument("--requests", type=int, default=300, help="requests in each round (default 300)")
    parser.add_argument("--peers", action="store_true", help="with wireup and dishka, which must be installed")
    names = [*CONTENDERS, *PEERS]
    parser.add_argument("--only", nargs="+", choices=names, metavar="NAME", help=f"only these of: {', '.join(names)}")
    return parser.parse_args()


def _is_payable(name: str, graph: Graph) -> bool:
    return name != CHAINED or graph.paths <= MANY_PATHS


async def _measured(
    graph: Graph, contenders: Mapping[str, Contender], options: argparse.Namespace, *, within: bool
) -> Measured:
    async with AsyncExitStack() as stack:
        running = {}
        for name, write in contenders.items():
            module = graphs.run(write(graph), name)
            running[name] = await stack.enter_async_context(served(module.build(), within=within))
            await require_right(module, running[name], graph.generators)
        return await interleaved(running, options.rounds, options.requests)


def _report(size: str, graph: Graph, measured: Measured, options: argparse.Namespace) -> None:
    lived = f"{len(graph.living('application'))} application + {len(graph.living('request'))} request nodes"
    say(f"{size}: {lived}, {graph.generators} of them an async generator (a request node)")
    say(f"microseconds of processor time a request: median [quartiles], {options.rounds} rounds of {options.requests}")
    say(f"{'':42}{'a request':26}above hand-written")
    for name, figures in measured.items():
        above = "" if name == HAND else f"{spread(over(measured, name, HAND)):7.1f}"
        say(f"{name:42}{f'{spread(figures):6.1f}':26}{above}")
    if not _is_payable(CHAINED, graph):
        say(f"{CHAINED:42}not run: it visits all {graph.paths} paths in each request, exponential in depth;")
        say(f"{'':42}`python -m tests.benchmarks.growth` shows it up to 20 nodes")
    say()
    for bar in BARS:
        _judge(bar, size, measured)
    say()


def _judge(bar: Bar, size: str, measured: Measured) -> None:
    if bar.one not in measured or bar.other not in measured:
        return
    if bar.above_hand_written:
        found = ratio(over(measured, bar.one, HAND), over(measured, bar.other, HAND))
    else:
        found = ratio(measured[bar.one], measured[bar.other])
    what = f"{bar.one} / {bar.other}"
    say(f"{what:60}{f'{found:5.3f}':26}at most {bar.at_most(size):.2f}  {verdict(found.median, bar.at_most(size))}")


if __name__ == "__main__":
    main()
