"""What PostgreSQL sends by itself."""

from __future__ import annotations

import anyio
import pytest

from heykit.database import Lost, Notification, Resumed, postgres
from heykit.errors import DatabaseError, Unavailable
from tests.servers import PostgresServer

ODD = 'a "B" é;'


async def test_a_listener_hears_what_is_sent_once_it_is_committed(postgres_url: str) -> None:
    async with postgres(postgres_url) as database, database.listen("orders", ODD, "orders") as feed:
        async with database.transaction() as transaction:
            await transaction.execute("SELECT pg_notify($1, $2)", ODD, "first")
            with anyio.move_on_after(0.05) as nothing:
                await anext(feed)
        assert nothing.cancelled_caught
        await database.execute("SELECT pg_notify($1, $2)", "orders", "")
        assert await anext(feed) == Notification(ODD, "first")
        assert await anext(feed) == Notification("orders", "")
        assert database.stats()["in_use"] == 0  # it listens on a connection of its own
    with pytest.raises(StopAsyncIteration):
        await anext(feed)


@pytest.mark.parametrize("channels", [(), ("",), ("x" * 64,), ("é" * 32,), ("a\0",)])
async def test_what_is_no_channel_is_refused(postgres_url: str, channels: tuple[str, ...]) -> None:
    async with postgres(postgres_url) as database:
        with pytest.raises(DatabaseError, match="channel"):
            async with database.listen(*channels):
                raise AssertionError


async def test_a_lost_listener_is_told_and_connected_again(postgres_url: str) -> None:
    async with postgres(postgres_url, max_connections=2) as database, database.listen("orders") as feed:
        listening = "query LIKE 'LISTEN%' AND datname = current_database()"
        killed = await database.fetch_value(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {listening}")
        assert killed is True
        with anyio.fail_after(5):
            assert isinstance(await anext(feed), Lost)
            assert await anext(feed) == Resumed()
            await database.execute("SELECT pg_notify($1, $2)", "orders", "again")
            assert await anext(feed) == Notification("orders", "again")


async def test_listening_may_be_cancelled_without_missing_anything(postgres_url: str) -> None:
    count = 300
    heard: list[object] = []
    async with (
        postgres(postgres_url, health_check_interval=0.01) as database,
        database.listen("n") as feed,
        anyio.create_task_group() as tasks,
    ):

        async def send() -> None:
            for number in range(count):
                await database.execute("SELECT pg_notify('n', $1)", str(number))

        tasks.start_soon(send)
        with anyio.fail_after(20):
            while len(heard) < count:
                with anyio.move_on_after(0.0005):
                    heard.append(await anext(feed))
    assert heard == [Notification("n", str(number)) for number in range(count)]


async def test_what_nobody_reads_is_told_as_a_loss(postgres_url: str) -> None:
    async with postgres(postgres_url) as database, database.listen("n") as feed:
        await database.execute("SELECT pg_notify('n', CAST(i AS TEXT)) FROM generate_series(1, 10001) AS i")
        await anyio.sleep(0.1)
        events = [await anext(feed) for _ in range(10_002)]
    assert events[:10_000] == [Notification("n", str(number)) for number in range(1, 10_001)]
    assert isinstance(events[10_000], Lost)
    assert "more than 10000 notifications were not read" in events[10_000].reason
    assert events[10_001] == Resumed()


async def test_a_frozen_server_is_noticed_by_who_listens(server: PostgresServer) -> None:
    limits = {"health_check_interval": 0.1, "connection_timeout": 0.3}
    async with postgres(server.url(), **limits) as database, database.listen("n") as feed:  # type: ignore[arg-type]
        with anyio.move_on_after(0.5) as quiet:
            await anext(feed)  # silence is no loss, as long as the server answers
        assert quiet.cancelled_caught
        server.freeze()
        try:
            with anyio.fail_after(3):
                assert isinstance(await anext(feed), Lost)
        finally:
            server.thaw()
        with anyio.fail_after(5):
            assert await anext(feed) == Resumed()


async def test_a_server_that_is_away_is_said_at_the_opening(server: PostgresServer) -> None:
    async with postgres(server.url(), connection_timeout=0.5) as database:
        server.kill()
        with pytest.raises(Unavailable, match="cannot connect to the PostgreSQL server"):
            async with database.listen("n"):
                raise AssertionError


async def test_whoever_comes_late_hears_what_has_come_before_it_is_judged(postgres_url: str) -> None:
    """A server that has answered is not lost because nobody looked in time."""
    limits = {"health_check_interval": 0.1, "connection_timeout": 0.15}
    heard: list[object] = []
    async with postgres(postgres_url, **limits) as database, database.listen("n") as feed:  # type: ignore[arg-type]
        for number in range(5):
            await anyio.sleep(0.35)  # nobody listens
            with anyio.move_on_after(0):
                while True:
                    heard.append(await anext(feed))
            await database.execute("SELECT pg_notify('n', $1)", str(number))
    assert heard == [Notification("n", str(number)) for number in range(4)]
