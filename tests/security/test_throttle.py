"""Attempts to log in, by account and by address, in memory and in Redis alike."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit.database import connect
from heykit.errors import Throttled, Unavailable
from heykit.resources import Redis, redis_client
from heykit.security.throttle import Limit, Throttle, database_throttle, memory_throttle, redis_throttle
from tests.heygen.world import Clock
from tests.security.sessions_world import empty
from tests.servers import ValkeyServer

Open = Callable[..., AbstractAsyncContextManager[Throttle]]
ACCOUNT, ADDRESS = Limit(3, per=30), Limit(5, per=50)


@pytest.fixture
async def open_throttle(session_store: tuple[str, str]) -> AsyncGenerator[Open]:
    kind, url = session_store
    if kind == "memory":
        yield memory_throttle
    elif kind == "redis":
        async with redis_client(url, command_timeout=20) as redis:
            yield lambda **options: redis_throttle(redis, **options)
    else:
        async with connect(url, command_timeout=20) as database:
            await empty(database)
            yield lambda **options: database_throttle(database, **options)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def throttle(open_throttle: Open, clock: Clock) -> AsyncGenerator[Throttle]:
    async with open_throttle(account=ACCOUNT, address=ADDRESS, now=clock) as opened:
        yield opened


async def refused(throttle: Throttle, account: str, address: str) -> tuple[str, float] | None:
    try:
        await throttle.attempt(account, address)
    except Throttled as locked:
        return locked.by, round(locked.retry_after, 3)
    return None


async def test_an_account_has_its_attempts_and_then_one_now_and_then(throttle: Throttle, clock: Clock) -> None:
    assert [await refused(throttle, "ada", f"192.0.2.{at}") for at in range(3)] == [None] * 3
    assert await refused(throttle, "ada", "192.0.2.9") == ("account", 10)
    clock.turn(4)
    assert await refused(throttle, "ada", "192.0.2.9") == ("account", 6)
    clock.turn(6)
    assert await refused(throttle, "ada", "192.0.2.9") is None
    assert await refused(throttle, "ada", "192.0.2.9") == ("account", 10)
    clock.turn(30)
    assert [await refused(throttle, "ada", f"192.0.2.{at}") for at in range(3)] == [None] * 3
    assert await refused(throttle, "ada", "192.0.2.9") is not None


async def test_an_address_has_its_own_whatever_accounts_it_tries(throttle: Throttle) -> None:
    assert [await refused(throttle, f"user {at}", "192.0.2.7") for at in range(5)] == [None] * 5
    assert await refused(throttle, "another", "192.0.2.7") == ("address", 10)
    assert await refused(throttle, "another", "192.0.2.8") is None
    assert throttle.stats() == {"attempts": 6, "throttled_by_account": 0, "throttled_by_address": 1}


async def test_one_that_is_refused_is_not_counted(throttle: Throttle, clock: Clock) -> None:
    for _ in range(3):
        await throttle.attempt("ada", "192.0.2.7")
    for _ in range(100):
        assert await refused(throttle, "ada", "192.0.2.7")
    assert await refused(throttle, "bob", "192.0.2.7") is None
    clock.turn(10)
    assert await refused(throttle, "ada", "192.0.2.8") is None


async def test_who_succeeds_has_used_no_attempt(throttle: Throttle) -> None:
    for _ in range(50):
        await throttle.attempt("ada", "192.0.2.7")
        await throttle.succeeded("ada", "192.0.2.7")
    assert [await refused(throttle, "ada", f"192.0.2.{at}") for at in range(3)] == [None] * 3
    assert await refused(throttle, "ada", "192.0.2.9")


async def test_to_succeed_as_one_whose_name_looks_alike_gives_no_attempts_at_another(throttle: Throttle) -> None:
    tried = 0
    for at in range(20):
        tried += await refused(throttle, "ada", f"192.0.2.{at}") is None
        if await refused(throttle, "ADA", f"192.0.3.{at}") is None:  # the attacker's own
            await throttle.succeeded("ADA", f"192.0.3.{at}")
    assert tried == 3


@pytest.mark.parametrize("behind", [0.005, 0.1, 5.0])
async def test_two_servers_whose_clocks_differ_give_no_more_attempts(
    open_throttle: Open, clock: Clock, behind: float, session_store: tuple[str, str]
) -> None:
    if session_store[0] == "memory":
        return  # it is one server's
    other = Clock(clock.seconds - behind)
    async with (
        open_throttle(account=ACCOUNT, address=ADDRESS, now=clock) as one,
        open_throttle(account=ACCOUNT, address=ADDRESS, now=other) as two,
    ):
        tried = 0
        for _ in range(300):
            clock.turn(0.1)
            other.turn(0.1)
            for throttle in (one, two):
                tried += await refused(throttle, "ada", "") is None
        assert tried <= 3 + 30 / ACCOUNT.each + 1


async def test_who_has_no_address_is_not_held_back_with_all_who_have_none(throttle: Throttle) -> None:
    assert [await refused(throttle, f"user {at}", "") for at in range(50)] == [None] * 50


async def test_a_thousand_at_once_have_no_more_attempts(throttle: Throttle) -> None:
    outcomes = []

    async def attempt(number: int) -> None:
        outcomes.append(await refused(throttle, "ada", f"192.0.{number % 250}.{number // 250}"))

    async with anyio.create_task_group() as tasks:
        for number in range(1000):
            tasks.start_soon(attempt, number)
    assert outcomes.count(None) == 3


@pytest.mark.parametrize("written", ["ADA", " ada ", "\uff41\uff44\uff41", "Ada", " " * 2000 + "ada"])
async def test_an_account_is_the_same_however_it_is_written(throttle: Throttle, written: str) -> None:
    for _ in range(3):
        await throttle.attempt("ada", "192.0.2.7")
    assert await refused(throttle, written, "192.0.2.8")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("2002:c000:207:1::1", "2002:c000:207:2::1", True),
        ("2002:c000:207::1", "192.0.2.7", True),
        (" 192.0.2.7 ", "192.0.2.7", True),
        ("192.0.2.7:1111", "192.0.2.7:2222", True),
        ("[2001:db8::1]:1111", "2001:db8::2", True),
        ("64:ff9b::192.0.2.7", "192.0.2.7", True),
        ("64:ff9b::192.0.2.7", "64:ff9b::192.0.2.8", False),
        ("", "", False),
        ("/run/app.sock", "testclient", False),
    ],
)
async def test_an_address_is_what_one_subscriber_has(throttle: Throttle, one: str, other: str, *, same: bool) -> None:
    for at in range(5):
        await throttle.attempt(f"user {at}", one)
    assert bool(await refused(throttle, "ada", other)) is same


@pytest.mark.parametrize("letter", ["\u0390", "\u03b0", "\u1fd2", "\u1fd3", "\u00df", "\u0130", "\u212a"])
async def test_nor_is_there_a_letter_that_makes_it_another(throttle: Throttle, letter: str) -> None:
    for _ in range(3):
        await throttle.attempt(f"a{letter}b", "192.0.2.7")
    assert await refused(throttle, f"a{letter}b".upper(), "192.0.2.8")


@pytest.mark.parametrize("odd", ["", "x" * 10**6, "\ud800", "\0", "a b:c\r\n*", "\U0001f98a"])
async def test_any_text_may_be_a_name_or_an_address(throttle: Throttle, odd: str) -> None:
    for _ in range(3):
        await throttle.attempt(odd, odd)
    assert await refused(throttle, odd, odd)
    await throttle.succeeded(odd, odd)


async def test_a_clock_that_is_set_back_locks_nobody_out_for_long(throttle: Throttle, clock: Clock) -> None:
    for _ in range(3):
        await throttle.attempt("ada", "")
    clock.turn(-(10**6))
    assert await refused(throttle, "ada", "") == ("account", 10)
    clock.turn(10)
    assert await refused(throttle, "ada", "") is None
    assert await refused(throttle, "ada", "") == ("account", 10)


async def test_what_one_of_both_refuses_is_counted_for_neither(throttle: Throttle) -> None:
    for at in range(5):
        await throttle.attempt(f"user {at}", "192.0.2.7")
    for _ in range(10):
        assert (await refused(throttle, "ada", "192.0.2.7") or ("", 0))[0] == "address"
    assert [await refused(throttle, "ada", f"192.0.3.{at}") for at in range(3)] == [None] * 3


async def test_a_limit_may_be_as_good_as_none(open_throttle: Open, clock: Clock) -> None:
    none = Limit(10**9, per=60)
    async with open_throttle(account=none, address=none, now=clock) as throttle:
        assert [await refused(throttle, "ada", "192.0.2.7") for _ in range(50)] == [None] * 50


async def test_health_tells_how_many(throttle: Throttle) -> None:
    for _ in range(4):
        await refused(throttle, "ada", "192.0.2.7")
    health = await throttle.health()
    assert (health.status, health.kind) == ("pass", "security")
    assert health.figures["attempts"] == 3
    assert health.figures["throttled_by_account"] == 1


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("12"), st.integers(0, 40), st.booleans()), max_size=40)
)
async def test_over_any_time_there_are_never_more_attempts_than_the_limit_and_its_pace(
    steps: list[tuple[str, str, int, bool]],
) -> None:
    clock = Clock()
    async with memory_throttle(account=ACCOUNT, address=ADDRESS, now=clock) as throttle:
        admitted: dict[str, list[float]] = {}
        for account, address, seconds, forgets in steps:
            clock.turn(seconds)
            if await refused(throttle, account, address) is None:
                admitted.setdefault(account, []).append(clock.seconds)
                if forgets:
                    await throttle.succeeded(account, address)
                    admitted[account].pop()
            for times in admitted.values():
                for first, began in enumerate(times):
                    count = len(times) - first
                    assert count <= ACCOUNT.attempts + (times[-1] - began) / ACCOUNT.each + 1e-9


async def test_memory_keeps_so_many_names_and_forgets_what_holds_nothing_back() -> None:
    clock = Clock()
    async with memory_throttle(account=ACCOUNT, address=ADDRESS, max_size=10, now=clock) as throttle:
        for number in range(1000):
            await throttle.attempt(f"user {number}", f"192.0.2.{number % 256}")
            names = (await throttle.health()).figures["names"]
            assert isinstance(names, int)
            assert names <= 10
        clock.turn(1000)
        await throttle.attempt("ada", "192.0.2.7")
        assert (await throttle.health()).figures["names"] == 2


async def test_redis_forgets_them_by_itself_and_holds_no_name(redis: Redis) -> None:
    async with redis_throttle(redis) as throttle:
        await throttle.attempt("ada-lovelace", "192.0.2.7")
        keys = await redis.execute("KEYS", "*")
        assert isinstance(keys, list)
        assert len(keys) == 2
        assert b"lovelace" not in b"".join(keys)
        for key in keys:
            left = await redis.execute("PTTL", key)
            assert isinstance(left, int)
            assert 0 < left <= 90_000


async def test_two_processes_count_together(redis: Redis) -> None:
    async with redis_throttle(redis, account=ACCOUNT) as one, redis_throttle(redis, account=ACCOUNT) as other:
        assert await refused(one, "ada", "192.0.2.7") is None
        assert await refused(other, "ada", "192.0.2.7") is None
        assert await refused(one, "ada", "192.0.2.7") is None
        assert await refused(other, "ada", "192.0.2.7")


async def test_while_redis_is_away_each_process_counts_for_itself(
    redis_url: str, valkey_server: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        redis_client(redis_url, command_timeout=1, connection_timeout=0.3) as redis,
        redis_throttle(redis, account=ACCOUNT) as throttle,
    ):
        assert await refused(throttle, "ada", "192.0.2.7") is None
        valkey_server.kill()
        try:
            assert [await refused(throttle, "ada", "192.0.2.7") for _ in range(3)] == [None] * 3
            assert await refused(throttle, "ada", "192.0.2.7")
            assert (await throttle.health()).status == "warn"
        finally:
            valkey_server.start()
        with anyio.fail_after(20):
            while (await throttle.health()).status == "warn":
                await refused(throttle, "bob", "192.0.2.9")
                await anyio.sleep(0.05)
    assert caplog.text.count("Redis is away") == caplog.text.count("Redis is back") == 1


async def test_what_was_counted_elsewhere_gives_nothing_back_here(redis_url: str, valkey_server: ValkeyServer) -> None:
    async with (
        redis_client(redis_url, command_timeout=1, connection_timeout=0.3) as redis,
        redis_throttle(redis, account=ACCOUNT, address=ACCOUNT) as throttle,
    ):
        valkey_server.kill()
        try:
            assert [await refused(throttle, f"a{at}", "192.0.2.7") for at in range(3)] == [None] * 3
        finally:
            valkey_server.start()
        with anyio.fail_after(20):
            while (await throttle.health()).status == "warn":
                with suppress(Throttled):
                    await throttle.attempt("other", "192.0.2.9")
                await anyio.sleep(0.05)
        for _ in range(3):
            await throttle.attempt("eve", "192.0.2.7")
            await throttle.succeeded("eve", "192.0.2.7")
        valkey_server.kill()
        try:
            found = [await refused(throttle, f"b{at}", "192.0.2.7") for at in range(3)]
        finally:
            valkey_server.start()
        assert None not in found


class Refusing:
    """A Redis that is there, and refuses."""

    async def execute(self, *command: str | bytes | float) -> object:
        raise Unavailable("away")


async def test_it_does_without_redis_from_the_start() -> None:
    async with redis_throttle(Refusing(), account=ACCOUNT) as throttle:
        assert [await refused(throttle, "ada", "192.0.2.7") for _ in range(3)] == [None] * 3
        assert await refused(throttle, "ada", "192.0.2.7")
        await throttle.succeeded("ada", "192.0.2.7")
        assert await refused(throttle, "ada", "192.0.2.7") is None


@pytest.mark.parametrize(
    ("attempts", "per"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, float("nan")), (1, float("inf")), (float("nan"), 1)]
)
def test_a_limit_that_makes_no_sense_is_refused(attempts: float, per: float) -> None:
    with pytest.raises(ValueError, match=r"attempts|per"):
        Limit(attempts, per)  # type: ignore[arg-type]


async def test_a_database_forgets_those_that_hold_nothing_back(tmp_path: Path) -> None:
    clock = Clock()
    async with connect(f"sqlite:///{tmp_path}/t.db") as database:
        await empty(database)
        async with database_throttle(database, account=ACCOUNT, address=ADDRESS, now=clock) as throttle:
            for number in range(200):
                await throttle.attempt(f"user {number}", f"192.0.2.{number}")
                clock.turn(1)
            assert await database.fetch_value("SELECT count(*) FROM heykit_throttle") in range(1, 30)
