"""How long the event loop is held up while many log in, and whether a clock tells who has an account.

Run it from the root of the repository: `python -m tests.benchmarks.logins`. Users are those of app.py, in SQLite, and
passwords are hashed as there.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

import anyio

from heykit.database import connect, migrate
from heykit.heygen import MIGRATIONS, Users, user_store
from heykit.security import authenticate
from heykit.security.passwords import Passwords, argon2
from tests.benchmarks.driving import say

PASSWORD = "correct horse battery staple"
EVERY = 0.001  # seconds
MOST_LAG, MOST_APART = 0.05, 0.05


@asynccontextmanager
async def service() -> AsyncGenerator[tuple[Users, Passwords]]:
    with tempfile.TemporaryDirectory() as directory:
        async with connect(f"sqlite:///{Path(directory)}/b.db") as database, argon2() as passwords:
            await migrate(database, MIGRATIONS)
            users = user_store(database, passwords)
            for number in range(40):
                await users.register(f"user-{number}", PASSWORD)
            yield users, passwords


async def lags(until: anyio.Event) -> list[float]:
    """Measure how much later than asked for a sleep ends."""
    found = []
    while not until.is_set():
        began = time.perf_counter()
        await asyncio.sleep(EVERY)
        found.append(time.perf_counter() - began - EVERY)
    return found


async def lag_of_logins(rounds: int) -> None:
    async with service() as (users, passwords):
        measured: list[float] = []
        took = 0.0
        for _ in range(rounds):
            over = anyio.Event()
            watching = asyncio.create_task(lags(over))
            began = time.perf_counter()
            logins = [authenticate(users, f"user-{at}", PASSWORD, passwords=passwords) for at in range(40)]
            assert all(await asyncio.gather(*logins))
            took = time.perf_counter() - began
            over.set()
            measured += await watching
        p99 = quantiles(measured, n=100)[98]
        say(f"40 logins at once take {took:.2f} s; lag of the event loop: median {median(measured) * 1e3:.2f} ms,")
        say(f"  p99 {p99 * 1e3:.1f} ms   50  {'pass' if p99 <= MOST_LAG else 'FAIL'}")


async def unknown_or_wrong(times: int) -> None:
    async with service() as (users, passwords):
        took: dict[str, list[float]] = {"user-7": [], "nobody": []}
        for _ in range(times):
            for name, seconds in took.items():
                began = time.perf_counter()
                assert await authenticate(users, name, "a wrong password", passwords=passwords) is None
                seconds.append(time.perf_counter() - began)
        wrong, unknown = median(took["user-7"]), median(took["nobody"])
        apart = abs(wrong - unknown) / wrong
        say(
            f"a wrong password takes {wrong * 1e3:.2f} ms, an unknown name {unknown * 1e3:.2f} ms (medians of {times}):"
        )
        say(f"  {apart:.1%} apart   5%  {'pass' if apart <= MOST_APART else 'FAIL'}")


async def measured(rounds: int, times: int) -> None:
    await lag_of_logins(rounds)
    await unknown_or_wrong(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--times", type=int, default=50)
    options = parser.parse_args()
    asyncio.run(measured(options.rounds, options.times))


if __name__ == "__main__":
    main()
