"""Properties that hold on both databases, against the simplest model of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heykit.database import Connection, Database, Transaction
from heykit.errors import IntegrityError

examples = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Status(StrEnum):
    QUEUED = "queued"
    DONE = "done"


@dataclass(frozen=True)
class Kept:
    truth: bool
    whole: int
    real: float
    words: str
    raw: bytes
    instant: datetime
    day: date
    key: UUID
    status: Status
    maybe: bool | None
    later: datetime | None


KEPT = """
CREATE TABLE IF NOT EXISTS kept (
    truth BOOLEAN, whole BIGINT, "real" DOUBLE PRECISION, words TEXT, raw BYTEA, instant TIMESTAMPTZ, day DATE,
    key UUID, status TEXT, maybe BOOLEAN, later TIMESTAMPTZ, place INTEGER
)
"""
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
first, last = datetime(2, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001 - hypothesis adds the zone
instants = st.datetimes(first, last, timezones=zones)
kept = st.builds(
    Kept,
    truth=st.booleans(),
    whole=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False),
    words=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    raw=st.binary(),
    instant=instants,
    day=st.dates(),
    key=st.uuids(),
    status=st.sampled_from(Status),
    maybe=st.none() | st.booleans(),
    later=st.none() | instants,
)


@examples
@given(rows=st.lists(kept, max_size=3))
async def test_rows_written_come_back_equal(database: Database, rows: list[Kept]) -> None:
    """Whatever the values, on both databases, by `fetch` and by `stream`."""
    await database.execute(KEPT)
    await database.execute("DELETE FROM kept")
    placeholders = ", ".join(f"${n}" for n in range(1, 13))
    numbered = [(*vars(row).values(), place) for place, row in enumerate(rows)]
    await database.execute_many(f"INSERT INTO kept VALUES ({placeholders})", numbered)
    found = await database.fetch("SELECT * FROM kept ORDER BY place", into=Kept)
    assert rows == found
    assert [{name: type(value) for name, value in vars(row).items()} for row in rows] == [
        {name: UUID if name == "key" else type(value) for name, value in vars(row).items()} for row in found
    ]
    assert all(row.instant.tzinfo is UTC for row in found)
    async with database.stream("SELECT * FROM kept ORDER BY place", into=Kept) as stream:
        assert rows == [row async for row in stream]


@examples
@given(moments=st.lists(instants, min_size=2, max_size=5))
async def test_instants_sort_as_time_does(database: Database, moments: list[datetime]) -> None:
    """Also where a database keeps them as text."""
    await database.execute("CREATE TABLE IF NOT EXISTS moments (at TIMESTAMPTZ)")
    await database.execute("DELETE FROM moments")
    await database.execute_many("INSERT INTO moments VALUES ($1)", [(moment,) for moment in moments])

    @dataclass
    class Moment:
        at: datetime

    found = await database.fetch("SELECT at FROM moments ORDER BY at", into=Moment)
    assert sorted(moments) == [moment.at for moment in found]


@dataclass(frozen=True)
class Insert:
    key: int


@dataclass(frozen=True)
class Call:
    name: int


@dataclass(frozen=True)
class Block:
    """A transaction inside another: what happens in it, and whether it ends with an exception."""

    steps: list[Insert | Call | Block] = field(default_factory=list)
    fails: bool = False


class Failed(Exception):
    """How a block of the plan fails."""


leaves = st.builds(Insert, st.integers(0, 4)) | st.builds(Call, st.integers(0, 99))
blocks = st.recursive(
    st.builds(Block, st.lists(leaves, max_size=4), st.booleans()),
    lambda inner: st.builds(Block, st.lists(leaves | inner, max_size=4), st.booleans()),
    max_leaves=8,
)


def expected(block: Block, rows: frozenset[int], calls: list[int]) -> tuple[frozenset[int], list[int]]:
    """What stands after the block, by a stack of copies. A key that stands already makes its block fail."""
    inside, inside_calls = rows, list(calls)
    for step in block.steps:
        if isinstance(step, Block):
            inside, inside_calls = expected(step, inside, inside_calls)
        elif isinstance(step, Call):
            inside_calls.append(step.name)
        elif step.key in inside:
            return rows, calls
        else:
            inside |= {step.key}
    return (rows, calls) if block.fails else (inside, inside_calls)


async def perform(connection: Connection, block: Block, log: list[int]) -> None:
    with suppress(Failed, IntegrityError):
        async with connection.transaction() as transaction:
            for step in block.steps:
                await take(transaction, step, log)
            if block.fails:
                raise Failed


async def take(transaction: Transaction, step: Insert | Call | Block, log: list[int]) -> None:
    if isinstance(step, Block):
        await perform(transaction, step, log)
    elif isinstance(step, Call):
        transaction.after_commit(noting(log, step.name))
    else:
        await transaction.execute("INSERT INTO numbers VALUES ($1)", step.key)


def noting(log: list[int], name: int) -> Callable[[], Awaitable[object]]:
    async def note() -> None:
        log.append(name)

    return note


@examples
@given(plan=st.lists(blocks, max_size=3), keep_connection=st.booleans())
async def test_transactions_behave_as_a_stack_of_copies(
    database: Database, plan: list[Block], keep_connection: bool
) -> None:
    """Nested blocks that commit, fail or are refused: what stands and what was called is what the model says."""
    await database.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY)")
    await database.execute("DELETE FROM numbers")
    rows: frozenset[int] = frozenset()
    calls: list[int] = []
    log: list[int] = []
    for block in plan:
        rows, calls = expected(block, rows, calls)
        if keep_connection:
            async with database.connection() as connection:
                await perform(connection, block, log)
        else:
            await perform(database, block, log)
        assert calls == log
        assert sorted(rows) == [
            row["number"] for row in await database.fetch("SELECT number FROM numbers ORDER BY number")
        ]
    assert database.stats()["in_use"] == 0
