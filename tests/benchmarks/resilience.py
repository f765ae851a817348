"""What retry, breaker, bulkhead and with_fallback add to a call that succeeds.

Run it from the root of the repository: `python -m tests.benchmarks.resilience [--rounds N] [--calls N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from heykit.resilience import Breaker, Bulkhead, Retry, breaker, bulkhead, retry, with_fallback
from tests.benchmarks.driving import over, say, spread, verdict

BARE, BOTH = "an async function", "retry and breaker"
AT_MOST = 1.0  # microseconds


async def call(number: int) -> int:
    return number


CONTENDERS: Mapping[str, Callable[[int], Awaitable[int]]] = {
    BARE: call,
    "retry": retry(Retry())(call),
    "breaker": breaker(Breaker())(call),
    BOTH: retry(Retry())(breaker(Breaker())(call)),
    "bulkhead": bulkhead(Bulkhead(at_once=1))(call),
    "with_fallback": with_fallback(call, call, on=(OSError,)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is driven (default 20)")
    parser.add_argument("--calls", type=int, default=50_000, help="calls in each round (default 50,000)")
    options = parser.parse_args()
    measured = asyncio.run(_measured(options.rounds, options.calls))
    say(f"microseconds of processor time above a bare call: median [quartiles], {options.rounds} rounds")
    for name in measured:
        if name != BARE:
            say(f"{name:20}{spread(over(measured, name, BARE)):6.3f}")
    found = spread(over(measured, BOTH, BARE)).median
    say(f"{BOTH}: at most {AT_MOST:g}  {verdict(found, AT_MOST)}")


async def _measured(rounds: int, calls: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, function in CONTENDERS.items():
            started = time.process_time()
            for number in range(calls):
                await function(number)
            measured[name].append((time.process_time() - started) / calls * 1e6)
    return measured


if __name__ == "__main__":
    main()
