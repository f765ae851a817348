"""Transactions that are run again when they lose."""

from __future__ import annotations

import asyncio

import pytest

from heykit.database import Database, Transaction, run_transaction
from heykit.errors import IntegrityError, Unavailable


async def test_what_loses_against_another_is_run_again_from_its_start(database: Database) -> None:
    await database.execute("CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
    await database.execute("INSERT INTO counters VALUES ('a', 0)")
    runs = 0

    async def increment(transaction: Transaction) -> int:
        nonlocal runs
        runs += 1
        value = await transaction.fetch_value("SELECT value FROM counters WHERE name = 'a'")
        assert isinstance(value, int)
        await asyncio.sleep(0.001)
        await transaction.execute("UPDATE counters SET value = $1 WHERE name = 'a'", value + 1)
        return value + 1

    given = await asyncio.gather(
        *(run_transaction(database, increment, isolation="serializable", attempts=50) for _ in range(10))
    )
    assert sorted(given) == list(range(1, 11))
    assert await database.fetch_value("SELECT value FROM counters") == 10
    assert runs >= 10


async def test_it_is_run_so_often_and_no_oftener(database: Database) -> None:
    runs = 0

    async def lose(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        raise Unavailable("lost", had_no_effect=True)

    with pytest.raises(Unavailable, match="lost"):
        await run_transaction(database, lose, attempts=3)
    assert runs == 3


async def test_what_fails_otherwise_is_not_run_again_and_leaves_nothing(database: Database) -> None:
    await database.execute("CREATE TABLE names (name TEXT PRIMARY KEY)")
    runs = 0

    async def twice(transaction: Transaction) -> None:
        nonlocal runs
        runs += 1
        await transaction.execute("INSERT INTO names VALUES ('a')")
        await transaction.execute("INSERT INTO names VALUES ('a')")

    with pytest.raises(IntegrityError):
        await run_transaction(database, twice)
    assert runs == 1
    assert await database.fetch_value("SELECT count(*) FROM names") == 0
