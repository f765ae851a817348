"""Redis in awkward moments: what a hostile look at the client has found."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable, Generator
from enum import Enum
from pathlib import Path

import anyio
import pytest

from heykit.errors import HeykitError, RedisError, TimedOut, Unavailable
from heykit.resources import Lost, Redis, redis_client
from heykit.resources._redis_link import Link, Target
from heykit.resources._redis_wire import packed
from tests.resources.test_redis import answering
from tests.servers import ValkeyServer


class Cmd(str, Enum):  # noqa: UP042 - StrEnum shows what it is
    """A word whose text is not its name."""

    MULTI = "MULTI"
    GET = "GET"


def as_user(redis_url: str) -> str:
    return f"unix://guest:right@{redis_url.partition('://')[2].partition('?')[0]}"


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_however_many_idle_connections_are_dead_the_command_is_sent_once(
    valkey_server: ValkeyServer, redis_url: str, how: str
) -> None:
    async with redis_client(redis_url, max_connections=10, connection_timeout=2) as redis:
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(redis.execute, "BLPOP", f"nothing:{number}", 0.1)
        assert redis.stats()["idle"] == 10
        if how == "closed":
            valkey_server.say("CLIENT KILL TYPE normal")
            await anyio.sleep(0.02)
        else:
            for link, _ in redis.pool._idle:  # type: ignore[attr-defined]
                link._connection._reader.set_exception(ConnectionResetError())
                link._connection._writer.transport.abort()
        assert await redis.execute("INCR", "a") == 1


async def test_a_network_that_is_lost_is_no_missing_key(redis_url: str) -> None:
    """TCP gives up with ETIMEDOUT, which Python calls a TimeoutError, as it does the driver's own time limits."""
    async with redis_client(redis_url, max_connections=1, command_timeout=5) as redis:
        [(link, _)] = redis.pool._idle  # type: ignore[attr-defined]

        async def lose() -> None:
            await anyio.sleep(0.02)
            link._connection._reader.set_exception(OSError(errno.ETIMEDOUT, "timed out"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lose)
            with pytest.raises(Unavailable, match="was lost") as lost:
                await redis.execute("BLPOP", "nothing", 3)
        assert not isinstance(lost.value, TimedOut)
        async with redis.subscribe("news") as feed:
            source = feed._source  # type: ignore[attr-defined]
            source._link._connection._reader.set_exception(OSError(errno.ETIMEDOUT, "timed out"))
            with anyio.fail_after(1):
                assert isinstance(await anext(feed), Lost)


async def test_where_transactions_are_refused_nothing_runs(valkey_server: ValkeyServer, redis_url: str) -> None:
    valkey_server.say("ACL SETUSER guest reset on >right ~* +@all -multi")
    async with redis_client(as_user(redis_url)) as redis:
        with pytest.raises(RedisError, match="may not run MULTI"):
            await redis.execute_many([("INCR", "a"), ("INCR", "a")], atomic=True)
        assert await redis.execute("GET", "a") is None


async def test_a_script_that_says_busy_may_have_had_an_effect(redis: Redis) -> None:
    busy = "redis.call('INCR', 'a'); return redis.error_reply('BUSY lock held')"
    for call in (redis.execute("EVAL", busy, 0), redis.execute_many([("EVAL", busy, 0), ("EVAL", busy, 0)])):
        with pytest.raises(Unavailable) as refusal:
            await call
        assert not refusal.value.had_no_effect
    with pytest.raises(RedisError, match="the script failed"):
        await redis.execute("EVAL", "return {1, {redis.error_reply('no')}}", 0)


async def test_what_was_sent_and_lost_may_have_had_an_effect_whatever_went_wrong_then(short_path: Path) -> None:
    async with answering(short_path, [b""]) as (url, said), redis_client(url, max_connections=1) as redis:
        (short_path / "s").rename(short_path / "gone")
        with pytest.raises(Unavailable) as lost:
            await redis.execute("SET", "a", 1, idempotent=True)
        assert said == [packed(["SET", "a", 1])]
        assert not lost.value.had_no_effect


async def test_after_a_fail_over_the_next_command_goes_to_another_connection(short_path: Path) -> None:
    readonly = b"-READONLY You can't write against a read only replica.\r\n"
    async with (
        answering(short_path, [readonly, b""], [b":1\r\n"]) as (url, _),
        redis_client(url, max_connections=1, connection_timeout=2) as redis,
    ):
        with pytest.raises(Unavailable, match="is a replica"):
            await redis.execute("INCR", "a")
        assert await redis.execute("INCR", "a") == 1


@pytest.fixture
def deaf(valkey_server: ValkeyServer, redis_url: str) -> Generator[Callable[[], None]]:
    """A server that reads nothing more once this is called."""
    yield valkey_server.freeze
    valkey_server.thaw()


async def test_what_a_server_does_not_take_is_not_kept(redis_url: str, deaf: Callable[[], None]) -> None:
    """A connection that is given up is gone, with all that waits to be sent on it."""
    made: list[Link] = []
    connecting = Target.connect

    async def remembered(self: Target, time_limit: float, *, protocol: int) -> Link:
        made.append(await connecting(self, time_limit, protocol=protocol))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Target, "connect", remembered)
        async with redis_client(redis_url, max_connections=3, command_timeout=0.5, connection_timeout=0.1) as redis:
            await asyncio.gather(*(redis.execute("BLPOP", f"nothing:{number}", 0.1) for number in range(3)))
            deaf()
            for _ in range(3):
                with pytest.raises(TimedOut):
                    await redis.execute("SET", "a", b"x" * 20_000_000)
            assert len(made) == 3
            assert [link._transport.get_write_buffer_size() for link in made if link._transport] == [0, 0, 0]
            assert redis.stats()["in_use"] == 0


async def test_closing_ends_what_is_in_flight_though_the_server_reads_nothing(
    redis_url: str, deaf: Callable[[], None]
) -> None:
    errors: list[HeykitError] = []
    async with anyio.create_task_group() as tasks:
        async with redis_client(redis_url, max_connections=1, command_timeout=60, connection_timeout=60) as redis:

            async def ask() -> None:
                try:
                    await redis.execute("SET", "a", b"x" * 20_000_000)
                except HeykitError as error:
                    errors.append(error)

            deaf()
            tasks.start_soon(ask)
            tasks.start_soon(ask)
            await anyio.sleep(0.1)
        with anyio.fail_after(2):
            while len(errors) < 2:
                await anyio.sleep(0.01)


async def test_a_listener_whose_user_may_not_ask_for_a_sign_of_life_loses_nothing(
    valkey_server: ValkeyServer, redis_url: str
) -> None:
    valkey_server.say("ACL SETUSER guest reset on >right ~* &* +@all -ping")
    async with redis_client(as_user(redis_url), health_check_interval=0.05) as redis, redis.subscribe("news") as feed:
        with anyio.move_on_after(0.4) as quiet:
            await anext(feed)
        assert quiet.cancelled_caught


@pytest.mark.parametrize("state", ["connected", "away"])
async def test_whoever_listens_hears_that_the_client_is_closed(
    valkey_server: ValkeyServer, redis_url: str, state: str
) -> None:
    ended: list[str] = []

    async with anyio.create_task_group() as tasks:
        async with redis_client(redis_url) as redis, contextlib.AsyncExitStack() as stack:
            feed = await stack.enter_async_context(redis.subscribe("news"))

            async def listen() -> None:
                ended.extend(["event" async for _ in feed])
                ended.append("end")

            if state == "away":
                valkey_server.kill()
            tasks.start_soon(listen)
            await anyio.sleep(0.1)
            stack.pop_all()
        with pytest.raises(RedisError, match="closed"):
            async with redis.subscribe("news"):
                raise AssertionError
    assert ended == (["end"] if state == "connected" else ["event", "end"])


async def test_leaving_a_feed_that_has_just_come_back_leaves_nothing_open(
    valkey_server: ValkeyServer, redis: Redis
) -> None:
    with anyio.CancelScope() as scope:
        async with redis.subscribe("news") as feed:
            valkey_server.say("CLIENT KILL TYPE pubsub")
            assert isinstance(await anext(feed), Lost)
            with anyio.move_on_after(0):
                await anext(feed)
            await anyio.sleep(0.1)  # it has come back, and nobody has taken it
            scope.cancel()
            await anyio.sleep(1)
    await anyio.sleep(0.05)
    assert await redis.execute("CLIENT", "LIST", "TYPE", "pubsub") == b""


async def test_a_refusal_shows_none_of_its_arguments_however_they_are_written(redis: Redis) -> None:
    commands = [
        ["GEOADD", "k", "180.5", "47.123456", "me"],
        ["ACL", "SETUSER", "bob", "'>hunter2'"],
        ["XREADGROUP", "GROUP", "g", "c", "STREAMS", "it's hunter2", ">"],
        ["a'hunter2'b", "hunter2"],
        ["CONFIG", "SET", "maxmemory", "hunter2"],
        ["OBJECT", "hunter2"],
    ]
    for command in commands:
        with pytest.raises(RedisError) as refusal:
            await redis.execute(*command)
        assert "hunter2" not in str(refusal.value)
        assert "47.1" not in str(refusal.value)


async def test_a_word_is_what_is_sent_whatever_it_shows(redis: Redis) -> None:
    for command in ([Cmd.MULTI], ["SCRIPT", "DEBUG", "YES"], ["script", "debug", "sync"]):
        with pytest.raises(RedisError, match="changes the connection"):
            await redis.execute(*command)
    assert await redis.execute(Cmd.GET, "a") is None
    with pytest.raises(RedisError, match="a sequence of words"):
        await redis.execute_many(["PING"])


@pytest.mark.parametrize(
    "url",
    ["redis://u:1?hunter2=x@host", "redis://h?ssl_ca_certs=x", "rediss://h?ssl_bogus=1", "rediss://h?ssl_cert_reqs=bogus",
     "redis://h?port=abc", "redis://h?path=", "redis://h?host=x", "redis://h?db=-1", "redis://h?db=x"],
)  # fmt: skip
def test_a_url_with_what_it_does_not_take_is_refused_at_once(url: str) -> None:
    with pytest.raises(RedisError, match="Redis URL") as refusal:
        Target(url)
    assert "hunter2" not in str(refusal.value)


async def test_infinite_limits_do_not_keep_a_command_from_being_repeated(short_path: Path) -> None:
    async with (
        answering(short_path, [b""], [b":1\r\n"]) as (url, _),
        redis_client(url, max_connections=1, connection_timeout=float("inf")) as redis,
    ):
        assert await redis.execute("GET", "a", idempotent=True) == 1
