"""A transaction that is run again when it loses against another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from heykit.database.protocol import Database, Isolation, Transaction
from heykit.errors import Unavailable
from heykit.resilience import Budget, Retry, retry

T = TypeVar("T")


async def run_transaction(
    database: Database,
    work: Callable[[Transaction], Awaitable[T]],
    *,
    isolation: Isolation | None = None,
    attempts: int = 5,
    deadline: float = 30.0,
) -> T:
    """Run `work` in a transaction and give what it gives, again from its start where it certainly had no effect.

    That is where it lost against another transaction, or no connection was to be had: up to `attempts` times, within
    `deadline` seconds. What `work` does outside the database is done again too: leave that to `after_commit`.

    Raises what `work` raises, and Unavailable with `had_no_effect` where the last attempt was lost as well.
    """
    policy = Retry(attempts=attempts, deadline=deadline, wait=0.02, on=(Unavailable,))

    @retry(policy, budget=Budget(per_second=attempts, window=1.0))
    async def once() -> T:
        async with database.transaction(isolation=isolation) as transaction:
            return await work(transaction)

    return await once()
