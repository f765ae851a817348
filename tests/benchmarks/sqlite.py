"""Durable inserts a second into SQLite, from many tasks at once: heykit, and aiosqlite where it is installed.

Run it from the root of the repository: `python -m tests.benchmarks.sqlite [--rounds N] [--inserts N] [--tasks N]`. Both
write to a file of their own in the same directory, with a write-ahead log and `synchronous=FULL`, one row a statement,
each durable before it is acknowledged. The ratio is taken round by round.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from heykit.database import sqlite
from tests.benchmarks.driving import ratio, say, spread, verdict

Insert = Callable[[int], Awaitable[object]]
HEYKIT, PEER = "heykit", "aiosqlite"
AT_LEAST = 5.0
TABLE = "CREATE TABLE rows (number INTEGER, text TEXT)"


@asynccontextmanager
async def heykit(path: Path) -> AsyncGenerator[Insert]:
    async with sqlite(path) as database:
        await database.execute(TABLE)
        yield lambda number: database.execute("INSERT INTO rows VALUES ($1, $2)", number, "a little text")


@asynccontextmanager
async def aiosqlite(path: Path) -> AsyncGenerator[Insert]:
    async with importlib.import_module("aiosqlite").connect(path, isolation_level=None) as connection:
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", TABLE):
            await connection.execute(statement)
        yield lambda number: connection.execute("INSERT INTO rows VALUES (?, ?)", (number, "a little text"))


CONTENDERS: Mapping[str, Callable[[Path], AbstractAsyncContextManager[Insert]]] = {HEYKIT: heykit, PEER: aiosqlite}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="how often each is driven (default 10)")
    parser.add_argument("--inserts", type=int, default=5_000, help="inserts in each round (default 5,000)")
    parser.add_argument("--tasks", type=int, default=50, help="tasks that insert at once (default 50)")
    options = parser.parse_args()
    chosen = [name for name in CONTENDERS if name == HEYKIT or importlib.util.find_spec(name) is not None]
    with tempfile.TemporaryDirectory(dir=".") as home:
        measured = asyncio.run(_measured(Path(home).resolve(), chosen, options))
    say(f"durable inserts a second from {options.tasks} tasks: median [quartiles], {options.rounds} rounds")
    for name, figures in measured.items():
        say(f"{name:12}{spread(figures):10,.0f}")
    if PEER in measured:
        found = ratio(measured[HEYKIT], measured[PEER])
        say(f"{HEYKIT} / {PEER}: {found:5.2f}   at least {AT_LEAST:g}  {verdict(AT_LEAST, found.median)}")


async def _measured(home: Path, chosen: list[str], options: argparse.Namespace) -> dict[str, list[float]]:
    measured: dict[str, list[float]] = {name: [] for name in chosen}
    async with AsyncExitStack() as stack:
        inserts = {name: await stack.enter_async_context(CONTENDERS[name](home / f"{name}.db")) for name in chosen}
        for turn in range(options.rounds):
            for name in chosen[:: 1 if turn % 2 else -1]:
                measured[name].append(await _drive(inserts[name], options.inserts, options.tasks))
    return measured


async def _drive(insert: Insert, inserts: int, tasks: int) -> float:
    async def work(first: int) -> None:
        for number in range(first, inserts, tasks):
            await insert(number)

    started = time.perf_counter()
    await asyncio.gather(*map(work, range(tasks)))
    return inserts / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
