"""What a statement costs above the bare driver: heykit and asyncpg's own pool, on a PostgreSQL of its own.

Run it from the root of the repository: `python -m tests.benchmarks.database [--rounds N] [--statements N]`. In each
round every contender connects anew: where the system puts a server process decides more than the client does. Times
are those of the wall clock, for a statement is mostly waiting; the ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import asyncpg

from heykit.database import connect
from tests.benchmarks.driving import ratio, say, spread, verdict
from tests.servers import started_postgres

Ask = Callable[[], Awaitable[object]]
BARE, HEYKIT = "asyncpg, one connection", "heykit"
AT_MOST = 1.5
SQL = "SELECT 1"


@asynccontextmanager
async def bare(url: str) -> AsyncGenerator[Ask]:
    connection = await asyncpg.connect(url)
    try:
        yield lambda: connection.fetchrow(SQL)
    finally:
        await connection.close()


@asynccontextmanager
async def heykit(url: str) -> AsyncGenerator[Ask]:
    async with connect(url) as database:
        yield lambda: database.fetch_value(SQL)


CONTENDERS: Mapping[str, Callable[[str], AbstractAsyncContextManager[Ask]]] = {BARE: bare, HEYKIT: heykit}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40, help="how often each connects anew (default 40)")
    parser.add_argument("--statements", type=int, default=300, help="statements in each round (default 300)")
    options = parser.parse_args()
    with contextmanager(started_postgres)() as server:
        measured = asyncio.run(_measured(server.url(), options.rounds, options.statements))
    say(f"microseconds a statement: median [quartiles], {options.rounds} rounds of {options.statements}")
    for name, figures in measured.items():
        say(f"{name:30}{spread(figures):7.1f}")
    found = ratio(measured[HEYKIT], measured[BARE])
    say(f"{HEYKIT} / {BARE}: {found:5.2f}   at most {AT_MOST}  {verdict(found.median, AT_MOST)}")


async def _measured(url: str, rounds: int, statements: int) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for turn in range(rounds):
        for name in [*CONTENDERS][:: 1 if turn % 2 else -1]:
            async with CONTENDERS[name](url) as ask:
                await _drive(ask, statements // 10)
                measured[name].append(await _drive(ask, statements))
    return measured


async def _drive(ask: Ask, statements: int) -> float:
    started = time.perf_counter()
    for _ in range(statements):
        await ask()
    return (time.perf_counter() - started) / statements * 1e6


if __name__ == "__main__":
    main()
