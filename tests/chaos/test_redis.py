"""Redis that is killed, frozen, or asked by people who cannot wait."""

from __future__ import annotations

import contextlib
import statistics

import anyio

from heykit.errors import Unavailable
from heykit.resilience import Retry, retry
from heykit.resources import Redis, redis_client
from tests.chaos.load import FULL, Load, Times, cancelled_at_random, require_recovery
from tests.servers import ValkeyServer


async def every_slot_works(redis: Redis, slots: int) -> None:
    """Raise unless as many commands as there are connections can be under way at once, and none is left."""
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            for number in range(slots):
                tasks.start_soon(redis.execute, "BLPOP", f"nothing:{number}", 0.2)
            await anyio.sleep(0.1)
            assert redis.stats()["in_use"] == slots
    assert redis.stats()["in_use"] == 0
    assert redis.stats()["waiting"] == 0


async def test_reads_survive_a_kill_and_a_restart(valkey: ValkeyServer) -> None:
    times = Times()
    async with redis_client(valkey.url(), max_connections=10, connection_timeout=5) as redis:
        await redis.execute("SET", "a", "x")

        @retry(Retry(attempts=10, deadline=10), idempotent=True)
        async def read() -> None:
            assert await redis.execute("GET", "a", idempotent=True) == b"x"

        load = Load(read, moment=0)  # at all times more ask than are served at once
        await load.while_(lambda: times.kill_and_restart(valkey))
        await every_slot_works(redis, 10)
    assert len(load.failed) <= 5, [call.error for call in load.failed][:5]
    require_recovery(load, times)
    if FULL:
        outside = [call.took for call in load.calls if call.ended < times.broken or call.began > times.up + 1]
        assert max(outside) <= 10 * statistics.median(outside)


async def test_no_increment_is_applied_twice(valkey: ValkeyServer) -> None:
    times = Times()
    numbers = iter(range(10_000_000))
    acknowledged: set[int] = set()
    async with redis_client(valkey.url(), max_connections=10, connection_timeout=5) as redis:
        await redis.execute("FLUSHALL")

        async def increment() -> None:
            number = next(numbers)
            await redis.execute("HINCRBY", "counts", number, 1)
            acknowledged.add(number)

        load = Load(increment)
        await load.while_(lambda: times.kill_and_restart(valkey))
        await every_slot_works(redis, 10)
        counts = await redis.execute("HGETALL", "counts")
    assert isinstance(counts, dict)
    assert {*counts.values()} == {b"1"}, "an increment was applied twice"
    assert acknowledged <= {*map(int, counts)}, "one that was acknowledged is gone"
    assert all(isinstance(call.error, Unavailable) for call in load.failed)
    assert len(load.failed) <= 10
    require_recovery(load, times)


async def test_nobody_waits_for_a_server_that_is_frozen_longer_than_the_limits(valkey: ValkeyServer) -> None:
    limit = 1.0
    times = Times()
    async with redis_client(valkey.url(), max_connections=10, connection_timeout=0.4, command_timeout=0.6) as redis:
        load = Load(lambda: redis.execute("ECHO", "x", idempotent=True))
        await load.while_(lambda: times.freeze_and_thaw(valkey))
        assert load.longest <= limit + 0.2
        await every_slot_works(redis, 10)
    assert any(call.error is None for call in load.calls if call.began > times.up)


async def test_requests_cancelled_at_random_moments_leave_nothing_and_get_nobody_elses_answer(
    valkey: ValkeyServer,
) -> None:
    async with redis_client(valkey.url(), max_connections=10, connection_timeout=5) as redis:

        async def ask(number: int) -> object:
            if number % 3 == 0:
                return int(_text(await redis.execute("ECHO", number)))
            if number % 3 == 1:
                replies = await redis.execute_many([("SET", number, number), ("GET", number)], atomic=True)
                return int(_text(replies[1]))
            await redis.execute("BLPOP", "nothing", 0.003)
            return int(_text(await redis.execute("EVAL", "return ARGV[1]", 0, number)))

        assert await cancelled_at_random(ask, longest=0.02) == []
        assert redis.stats()["in_use"] == 0
        await every_slot_works(redis, 10)


async def test_a_cold_pool_warms_up_though_nobody_can_wait_for_it(valkey: ValkeyServer) -> None:
    answers = 0
    async with redis_client(valkey.url(), max_connections=10) as redis:
        valkey.say("CLIENT KILL TYPE normal")
        with anyio.move_on_after(1):
            while answers < 10:
                with contextlib.suppress(Unavailable), anyio.move_on_after(0.005):
                    await redis.execute("PING")
                    answers += 1
    assert answers == 10


def _text(reply: object) -> bytes:
    assert isinstance(reply, bytes)
    return reply
