"""Redis as its users see it, on a real server."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit.errors import RedisError, TimedOut, Unavailable
from heykit.resources import Invalidated, Lost, Message, Redis, Resumed, redis_client
from heykit.resources._redis_wire import check_shared, packed
from tests.servers import ValkeyServer


async def test_a_command_is_answered_as_redis_answers(redis: Redis) -> None:
    assert await redis.execute("SET", "greeting", "hello") == b"OK"
    assert await redis.execute("GET", "greeting") == b"hello"
    assert await redis.execute("GET", "nothing") is None
    assert await redis.execute("INCRBY", "count", 5) == 5
    assert await redis.execute("INCRBYFLOAT", "rate", 0.25) == b"0.25"
    await redis.execute("HSET", "user", "name", b"\xff\x00")
    assert await redis.execute("HGETALL", "user") == {b"name": b"\xff\x00"}
    await redis.execute("RPUSH", "list", "a", "b")
    assert await redis.execute("LRANGE", "list", 0, -1) == [b"a", b"b"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(), st.binary(), st.integers(), st.floats(allow_nan=False)), min_size=1, max_size=5))
def test_what_is_written_can_be_read_again_word_for_word(words: list[str | bytes | int | float]) -> None:
    try:
        packet = packed(words)
    except RedisError:
        assert any(isinstance(word, str) and not word.isprintable() for word in words)  # half a surrogate pair
        return
    rest, found = packet.removeprefix(b"*%d\r\n" % len(words)), []
    while rest:
        size, _, rest = rest.removeprefix(b"$").partition(b"\r\n")
        found.append(rest[: int(size)])
        assert rest[int(size) : int(size) + 2] == b"\r\n"
        rest = rest[int(size) + 2 :]
    written = [
        word if isinstance(word, bytes) else word.encode() if isinstance(word, str) else repr(word).encode()
        for word in words
    ]
    assert found == written


@pytest.mark.parametrize(
    "command", [(), ("SET", "a", None), ("SET", "a", True), ("SET", "a", ["b"]), ("SET", "\ud800")]
)
async def test_what_is_no_command_is_not_sent(redis: Redis, command: tuple[str, ...]) -> None:
    with pytest.raises(RedisError):
        await redis.execute(*command)


@pytest.mark.parametrize(
    "command",
    ["SUBSCRIBE a", "psubscribe a", "MONITOR", "MULTI", "EXEC", "WATCH a", "SELECT 1", "HELLO 2", "CLIENT REPLY OFF",
     "client tracking on", "QUIT", "RESET", "AUTH x"],
)  # fmt: skip
def test_what_would_change_a_shared_connection_is_refused_with_what_to_use(command: str) -> None:
    with pytest.raises(RedisError, match=r"changes the connection.*use subscribe\(\)"):
        check_shared(command.split())


async def test_a_command_that_is_refused_shows_none_of_its_arguments(redis: Redis) -> None:
    own, raised = "return redis.error_reply('no ' .. ARGV[1])", "return redis.call('x', ARGV[1])"
    for command in (
        ["GETT", "hunter2"],
        ["INCR", "hunter2"],
        ["SET", "a", "b", "hunter2"],
        ["EVAL", raised, 0, "hunter2"],
        ["EVAL", own, 0, "hunter2"],
        ["hunter2 x", "y"],
    ):
        await redis.execute("SET", "hunter2", "hunter2")
        with pytest.raises(RedisError) as refusal:
            await redis.execute(*command)
        assert "hunter2" not in str(refusal.value), command
        assert refusal.value.__cause__ is None
        assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


async def test_a_refusal_says_which_command_and_why(redis: Redis) -> None:
    await redis.execute("SET", "text", "a")
    with pytest.raises(RedisError, match="refused INCR: value is not an integer"):
        await redis.execute("INCR", "text")
    with pytest.raises(RedisError, match="refused LPUSH: WRONGTYPE Operation against a key"):
        await redis.execute("LPUSH", "text", "b")


async def test_several_commands_go_in_one_round_trip(redis: Redis) -> None:
    replies = await redis.execute_many([("SET", "a", 1), ("INCR", "a"), ("GET", "a")])
    assert replies == [b"OK", 2, b"2"]
    assert await redis.execute_many([]) == []
    with pytest.raises(RedisError, match="refused command 2 of 3, LPUSH: WRONGTYPE"):
        await redis.execute_many([("INCR", "a"), ("LPUSH", "a", 1), ("INCR", "a")])
    assert await redis.execute("GET", "a") == b"4"  # the others have run, and their replies are nobody else's


async def test_atomic_ones_are_one_transaction(redis: Redis) -> None:
    assert await redis.execute_many([("INCR", "a"), ("INCR", "a")], atomic=True) == [1, 2]
    with pytest.raises(RedisError, match="command 2 of 2, NONSENSE"):
        await redis.execute_many([("INCR", "a"), ("NONSENSE", "a")], atomic=True)
    assert await redis.execute("GET", "a") == b"2"  # what is refused at once keeps all from running


async def test_no_more_connections_than_allowed_and_the_longest_waiting_first(redis_url: str) -> None:
    order: list[int] = []
    async with redis_client(redis_url, max_connections=2, command_timeout=5, connection_timeout=5) as redis:

        async def push(number: int) -> None:
            await redis.execute("ECHO", number)
            order.append(number)

        await asyncio.gather(*(push(number) for number in range(50)))
        figures = redis.stats()
        assert figures["max_connections"] == 2
        assert figures["idle"] <= 2
        assert figures["acquired"] == 51
        assert figures["in_use"] == figures["waiting"] == figures["timed_out"] == 0
    assert all(abs(place - number) <= 2 for place, number in enumerate(order)), order


async def test_a_time_limit_ends_a_command_and_its_late_reply_is_nobodys(redis_url: str) -> None:
    async with redis_client(redis_url, max_connections=1, command_timeout=0.1) as redis:
        with pytest.raises(TimedOut, match="did not answer within the time limit") as late:
            await redis.execute("BLPOP", "nothing", 5, idempotent=True)
        assert not late.value.had_no_effect
        assert await redis.execute("ECHO", "mine") == b"mine"
        assert redis.stats()["reconnects"] == 1


async def test_a_cancelled_command_leaves_its_reply_to_nobody(redis_url: str) -> None:
    async with redis_client(redis_url, max_connections=1) as redis:
        with anyio.move_on_after(0.02):
            await redis.execute("BLPOP", "nothing", 5)
        assert await redis.execute("ECHO", "mine") == b"mine"
        assert redis.stats()["in_use"] == 0


@contextlib.asynccontextmanager
async def answering(home: Path, *scripts: list[bytes]) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """Run a server that greets like Redis, and then gives each connection the replies of its script, and hangs up."""
    said: list[bytes] = []
    left = list(scripts)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = left.pop(0) if left else []
        while packet := await reader.read(65536):
            if b"HELLO" in packet:
                writer.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
            elif packet == packed(["PING"]):
                writer.write(b"+PONG\r\n")
            elif script:
                said.append(packet)
                if (reply := script.pop(0)) == b"":
                    break
                writer.write(reply)
            else:
                said.append(packet)
                break
        writer.close()

    server = await asyncio.start_unix_server(serve, str(home / "s"))
    async with server:
        yield f"unix://{home}/s", said


async def test_a_command_whose_reply_is_lost_is_not_repeated_unless_it_is_idempotent(short_path: Path) -> None:
    async with answering(short_path, [b""], [b":1\r\n"]) as (url, said), redis_client(url, max_connections=1) as redis:
        with pytest.raises(Unavailable, match="may or may not have taken effect") as lost:
            await redis.execute("INCR", "a")
        assert not lost.value.had_no_effect
        assert said == [packed(["INCR", "a"])]
        assert await redis.execute("INCR", "a") == 1


async def test_an_idempotent_command_whose_reply_is_lost_is_repeated(short_path: Path) -> None:
    async with (
        answering(short_path, [b""], [b""], [b"$1\r\nx\r\n"]) as (url, said),
        redis_client(url, max_connections=1, connection_timeout=2) as redis,
    ):
        assert await redis.execute("GET", "a", idempotent=True) == b"x"
        assert said == [packed(["GET", "a"])] * 3
        assert redis.stats()["repeated"] == 2


async def test_it_is_repeated_so_often_and_no_oftener(short_path: Path) -> None:
    async with (
        answering(short_path) as (url, said),
        redis_client(url, max_connections=1, connection_timeout=2, retry_attempts=2) as redis,
    ):
        with pytest.raises(Unavailable):
            await redis.execute("GET", "a", idempotent=True)
        assert len(said) == 3


async def test_what_was_never_sent_is_sent_on_another_connection(valkey_server: ValkeyServer, redis: Redis) -> None:
    """The server has closed every connection meanwhile; no reply can be lost, so INCR may be sent again."""
    await redis.execute("SET", "a", 1)
    assert valkey_server.say("CLIENT KILL TYPE normal").startswith(b":")
    await anyio.sleep(0.01)
    assert await redis.execute("INCR", "a") == 2


@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading its data"),
        (b"-BUSY Redis is busy\r\n", "busy with a script"),
        (b"-READONLY You can't write against a read only replica.\r\n", "is a replica"),
        (b"-OOM command not allowed\r\n", "out of memory"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "lost its primary"),
        (b"-CLUSTERDOWN Hash slot not served\r\n", "is down"),
        (b"-MISCONF Errors writing to the AOF file\r\n", "cannot save its data"),
    ],
)
async def test_what_a_server_cannot_do_for_now_is_unavailable_and_had_no_effect(
    short_path: Path, refusal: bytes, why: str
) -> None:
    async with answering(short_path, *([refusal] for _ in range(9))) as (url, _), redis_client(url) as redis:
        with pytest.raises(Unavailable, match=why) as away:
            await redis.execute("INCR", "a")
        assert away.value.had_no_effect


async def test_a_server_that_is_away_is_said_at_the_opening(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"cannot connect to the Redis server at .*/gone"):
        async with redis_client(f"unix://{tmp_path}/gone", connection_timeout=0.1):
            raise AssertionError


async def test_an_unknown_host_is_named_and_nothing_is_left_open() -> None:
    with pytest.raises(Unavailable, match=r"the Redis server at nowhere\.invalid:6379") as away:
        async with redis_client("redis://user:hunter2@nowhere.invalid:6379/0", connection_timeout=1):
            raise AssertionError
    assert "hunter2" not in str(away.value)


async def test_a_host_that_never_answers_takes_no_longer_than_the_limit() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with (
            anyio.fail_after(1),
            pytest.raises(Unavailable, match=r"could be opened within 0\.2 seconds|did not answer in time"),
        ):
            async with redis_client(url, connection_timeout=0.2):
                raise AssertionError


@pytest.mark.parametrize(
    "url",
    ["http://host:6379", "localhost:6379", "", "redis://:hun/ter2@host", "redis://host:hunter2", "redis://host/hunter2",
     "redis://host?max_connections=3", "redis://host?hunter2=1&db=x", "postgresql://a:hunter2@b/c"],
)  # fmt: skip
async def test_a_url_that_names_no_server_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises((RedisError, Unavailable)) as refusal:
        async with redis_client(url, connection_timeout=0.1):
            raise AssertionError
    assert "ter2" not in str(refusal.value)


async def test_a_wrong_password_is_said_at_once_and_not_shown(valkey_server: ValkeyServer, redis_url: str) -> None:
    assert valkey_server.say("ACL SETUSER guest on >right ~* +@all") == b"+OK"
    path = redis_url.partition("://")[2].partition("?")[0]
    for credentials in ("guest:hunter2@", "nobody:hunter2@"):
        with (
            anyio.fail_after(0.4),
            pytest.raises(RedisError, match="refuses the user or the password of the URL") as refusal,
        ):
            async with redis_client(f"unix://{credentials}{path}"):
                raise AssertionError
        assert "hunter2" not in repr(refusal.value)
    async with redis_client(f"unix://guest:right@{path}") as redis:
        assert await redis.execute("PING") == b"PONG"


async def test_a_command_its_user_may_not_run(valkey_server: ValkeyServer, redis_url: str) -> None:
    assert valkey_server.say("ACL SETUSER reader on >right ~* +get") == b"+OK"
    path = redis_url.partition("://")[2].partition("?")[0]
    async with redis_client(f"unix://reader:right@{path}") as redis:  # PING, with which it looks, may be forbidden too
        assert await redis.execute("GET", "a") is None
        with pytest.raises(RedisError, match="may not run SET there"):
            await redis.execute("SET", "a", 1)


@pytest.mark.parametrize(
    "limits",
    [
        {"max_connections": 0},
        {"max_connections": -1},
        {"connection_timeout": 0.0},
        {"connection_timeout": float("nan")},
        {"command_timeout": -1.0},
        {"command_timeout": float("nan")},
        {"retry_attempts": -1},
        {"health_check_interval": -1.0},
    ],
)
def test_limits_that_make_no_sense(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        redis_client("redis://localhost", **limits)  # type: ignore[arg-type]


async def test_a_closed_client_says_so(redis_url: str) -> None:
    async with redis_client(redis_url) as redis:
        await redis.execute("PING")
    with pytest.raises(RedisError, match="the Redis client is closed"):
        await redis.execute("PING")


async def test_its_health_is_that_of_the_server(valkey_server: ValkeyServer, redis_url: str) -> None:
    async with redis_client(redis_url, connection_timeout=0.1, command_timeout=0.1) as redis:
        healthy = await redis.health()
        assert (healthy.status, healthy.kind) == ("pass", "resource")
        assert healthy.figures["max_connections"] == 10
        valkey_server.freeze()
        try:
            frozen = await redis.health()
        finally:
            valkey_server.thaw()
        assert frozen.status == "fail"
        assert "did not answer" in frozen.reason


# ------------------------------------------------------------------------------------------ what is sent by itself


async def test_a_subscriber_hears_what_is_published(redis: Redis) -> None:
    async with redis.subscribe("news", patterns=["weather.*"]) as feed:
        await redis.execute("PUBLISH", "news", "hello")
        await redis.execute("PUBLISH", "other", "unheard")
        await redis.execute("PUBLISH", "weather.bern", b"\xff")
        assert await anext(feed) == Message("news", b"hello")
        assert await anext(feed) == Message("weather.bern", b"\xff", "weather.*")
    with pytest.raises(StopAsyncIteration):
        await anext(feed)


async def test_a_subscription_to_nothing_is_refused(redis: Redis) -> None:
    with pytest.raises(RedisError, match="has a channel or a pattern"):
        redis.subscribe()


async def test_listening_may_be_cancelled_without_missing_anything(redis: Redis) -> None:
    count = 200
    heard: list[bytes] = []
    async with redis.subscribe("numbers") as feed, anyio.create_task_group() as tasks:

        async def publish() -> None:
            for number in range(count):
                await redis.execute("PUBLISH", "numbers", f"{number} {'x' * 3000}")

        tasks.start_soon(publish)
        with anyio.fail_after(20):
            while len(heard) < count:
                with anyio.move_on_after(0.0005):
                    event = await anext(feed)
                    assert isinstance(event, Message)
                    heard.append(event.data)
    assert [int(data.partition(b" ")[0]) for data in heard] == list(range(count))
    assert {len(data.partition(b" ")[2]) for data in heard} == {3000}


async def test_a_lost_subscription_is_told_and_opened_again(valkey_server: ValkeyServer, redis: Redis) -> None:
    with anyio.fail_after(5):
        async with redis.subscribe("news") as feed:
            valkey_server.say("CLIENT KILL TYPE pubsub")
            assert isinstance(await anext(feed), Lost)
            assert await anext(feed) == Resumed()
            await redis.execute("PUBLISH", "news", "again")
            assert await anext(feed) == Message("news", b"again")


async def test_a_listener_who_waits_only_briefly_is_connected_again_all_the_same(
    valkey_server: ValkeyServer, redis: Redis
) -> None:
    events: list[object] = []
    async with redis.subscribe("news") as feed:
        valkey_server.say("CLIENT KILL TYPE pubsub")
        with anyio.fail_after(5):
            while Resumed() not in events:
                with anyio.move_on_after(0.0002):
                    events.append(await anext(feed))
    assert [type(event) for event in events] == [Lost, Resumed]


async def test_a_frozen_server_is_noticed_by_who_listens(valkey_server: ValkeyServer, redis_url: str) -> None:
    async with (
        redis_client(redis_url, health_check_interval=0.1, command_timeout=0.1) as redis,
        redis.subscribe("news") as feed,
    ):
        with anyio.move_on_after(0.5) as quiet:
            await anext(feed)  # silence is no loss, as long as the server answers
        assert quiet.cancelled_caught
        valkey_server.freeze()
        try:
            with anyio.fail_after(3):
                event = await anext(feed)
        finally:
            valkey_server.thaw()
        assert isinstance(event, Lost)
        assert "has said nothing for" in event.reason
        with anyio.fail_after(3):
            assert await anext(feed) == Resumed()


async def test_whoever_watches_keys_hears_of_each_change(redis: Redis) -> None:
    async with redis.invalidations("video:", "user:") as feed:
        await redis.execute("SET", "video:1", "x")
        assert await anext(feed) == Invalidated((b"video:1",))
        await redis.execute("SET", "other:1", "x")
        await redis.execute("DEL", "video:1")
        assert await anext(feed) == Invalidated((b"video:1",))
        await redis.execute("SET", "user:1", "x", "PX", 1)
        assert await anext(feed) == Invalidated((b"user:1",))
        await anyio.sleep(0.01)
        await redis.execute("GET", "user:1")
        assert await anext(feed) == Invalidated((b"user:1",))  # it has expired
        await redis.execute("FLUSHALL")
        assert await anext(feed) == Invalidated(None)


async def test_watching_goes_on_after_a_loss(valkey_server: ValkeyServer, redis: Redis) -> None:
    with anyio.fail_after(5):
        async with redis.invalidations("a") as feed:
            valkey_server.say("CLIENT KILL TYPE pubsub")
            assert isinstance(await anext(feed), Lost)
            assert await anext(feed) == Resumed()
            await redis.execute("SET", "a", 1)
            assert await anext(feed) == Invalidated((b"a",))


async def test_prefixes_of_which_one_holds_the_other_are_refused(redis: Redis) -> None:
    with pytest.raises(RedisError, match="refused CLIENT"):
        async with redis.invalidations("a", "ab"):
            raise AssertionError


async def test_leaving_while_it_is_away_leaves_nothing_open(valkey_server: ValkeyServer, redis: Redis) -> None:
    async with redis.subscribe("news") as feed:
        valkey_server.kill()
        assert isinstance(await anext(feed), Lost)
        with anyio.move_on_after(0.05):
            await anext(feed)
    valkey_server.start()
