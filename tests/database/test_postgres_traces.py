"""After which statements a connection must be reset before somebody else gets it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.database import connect
from heykit.database._postgres_traces import leaves_traces

HARMLESS = [
    "SELECT 1",
    "  (SELECT 1);",
    "SELECT COUNT(*), lower (name) FROM guests WHERE id IN ($1, $2) AND (a) > 1",
    "INSERT INTO guests (name) VALUES ($1)",
    'insert into public."Guests"(name) values ($1) on conflict (name) do update set name = excluded.name returning id',
    "WITH RECURSIVE tree (id, up) AS (SELECT 1, 2) SELECT * FROM tree AS t (id, up)",
    "UPDATE guests SET a = 1, b = CAST($1 AS numeric(3, 2)) WHERE id = ANY($2)",
    "DELETE FROM guests WHERE NOT EXISTS (SELECT 1 FROM visits)",
    "SELECT CASE WHEN (a = 1) THEN (2) END, SUM(b) FILTER (WHERE c) OVER (PARTITION BY d) FROM t JOIN u USING (id)",
    "MERGE INTO t USING u ON (t.a = u.a) WHEN MATCHED THEN DELETE",
    "SELECT 'set_config is a word here'",
]
TRACES = [
    "SET search_path = other",
    "LISTEN channel",
    "CREATE TEMP TABLE t (a int)",
    "PREPARE p AS SELECT 1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "SELECT set_config('search_path', 'other', false)",
    "SELECT 1, set_config ('search_path', 'other', false)",
    "select PG_ADVISORY_LOCK(1)",
    "SELECT my_function(1)",
    'SELECT "lower"(1)',
    "SELECT mine.lower('A')",
    "SELECT mine . lower('A')",
    "SELECT set_config/* no call? */('a', 'b', false)",
    "SELECT set_config -- no call?\n('a', 'b', false)",
    "SELECT 1; SET search_path = other",
    "/* first */ SELECT 1",
    "CALL procedure()",
    "SELECT 1 OPERATOR(mine.+) 2",
    "SELECT merge(1)",
    "SELECT filter(1), over(2), cube(3)",
    """SELECT 'x as "', set_config('search_path', 'evil', false), '" (x)'""",
    """SELECT U&"set!005fconfig" UESCAPE '!' ('search_path', 'evil', false)""",
    r"SELECT E'\', ', set_config('search_path', 'evil', false)",
    "SELECT $$ ' $$, set_config('search_path', 'evil', false), ' '",
    "",
]


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_reads_and_changes_rows_leaves_none(sql: str) -> None:
    assert not leaves_traces(sql)


@pytest.mark.parametrize("sql", TRACES)
def test_whatever_else_may_leave_some(sql: str) -> None:
    assert leaves_traces(sql)


@given(
    st.sampled_from(
        ["SELECT {} FROM t", "SELECT a, {} FROM t WHERE b IN (1)", "UPDATE t SET a = {}", "VALUES (1, {})"]
    ),
    st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True).filter(lambda name: leaves_traces(f"SELECT {name}(1)")),
    st.sampled_from(["", " ", "\n\t"]),
    st.booleans(),
)
def test_a_call_that_is_not_known_is_found_wherever_it_stands(
    statement: str, name: str, space: str, upper: bool
) -> None:
    call = f"{name.upper() if upper else name}{space}(1)"
    assert leaves_traces(statement.format(call))
    assert leaves_traces(statement.format(f"lower({call})"))


async def test_whoever_comes_next_finds_nothing_of_it(postgres_url: str) -> None:
    async with connect(postgres_url, max_connections=1) as database:
        before = await database.fetch_value("SELECT current_setting('search_path')")
        await database.execute("SET search_path = other")
        assert await database.fetch_value("SELECT current_setting('search_path')") == before
        await database.fetch_value("SELECT set_config('search_path', 'other', false)")
        assert await database.fetch_value("SELECT current_setting('search_path')") == before
        await database.fetch_value("SELECT pg_advisory_lock(1)")
        assert await database.fetch_value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0
        async with database.transaction() as transaction:
            await transaction.fetch("SELECT pg_advisory_lock(1)")
        assert await database.fetch_value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


async def test_a_statement_that_leaves_none_costs_one_round_trip(postgres_url: str) -> None:
    async with connect(postgres_url, max_connections=1) as database, connect(postgres_url) as other:
        pid = await database.fetch_value("SELECT CAST($1 AS int) + pg_backend_pid()", 0)
        asked = "SELECT query FROM pg_stat_activity WHERE pid = $1"
        assert "advisory_unlock" in str(await other.fetch_value(asked, pid))
        await database.fetch_value("SELECT 'the last thing it was asked'")
        assert await other.fetch_value(asked, pid) == "SELECT 'the last thing it was asked'"
