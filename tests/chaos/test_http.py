"""An HTTP peer that does all it should not, under load."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tracemalloc

import anyio

from heykit.errors import HttpError, Unavailable
from heykit.resilience import Breaker
from heykit.resources import http_api
from tests.chaos.load import FULL, Load, cancelled_at_random
from tests.resources.peers import Answer, cut, endless, gone, peer, said, silent, trickled

SECONDS = 10.0 if FULL else 2.0
LIMIT = 1.0
CALM = Breaker(failures=1_000_000)  # which else would keep most of them from asking at all


async def test_whatever_a_peer_does_costs_bounded_time_and_memory_and_is_one_clear_error() -> None:
    chance = random.Random(7)
    faults: list[Answer] = [silent, trickled(0.01), endless, cut, gone, said(b"", 503, Retry_After="1"), said(b"ok")]

    async def any_of_them(writer: object) -> None:
        await chance.choice(faults)(writer)  # type: ignore[arg-type]

    async with (
        peer(any_of_them) as server,
        http_api(
            server.url,
            max_connections=10,
            connection_timeout=LIMIT,
            read_timeout=LIMIT / 2,
            timeout=LIMIT,
            max_response_bytes=1_000_000,
            breaker=CALM,
        ) as api,
    ):

        async def ask() -> None:
            assert (await api.get("/")).body == b"ok"

        tracemalloc.start()
        try:
            load = Load(ask)
            await load.while_(lambda: anyio.sleep(SECONDS))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        figures = api.stats()
        assert figures["in_use"] == figures["waiting"] == 0
    assert {type(call.error) for call in load.failed} <= {HttpError, *_all(Unavailable)}
    assert any(call.error is None for call in load.calls)
    assert load.longest <= 2 * LIMIT + 0.5  # it may wait for a connection, and then for the answer
    assert peak < 10 * 10_000_000


async def test_requests_cancelled_at_random_moments_leave_nothing_and_get_nobody_elses_answer() -> None:
    chance = random.Random(7)

    async def echo(writer: asyncio.StreamWriter) -> None:
        asked = server.asked[-1]
        await asyncio.sleep(chance.uniform(0, 0.005))
        await said(asked.target.removeprefix("/").encode())(writer)

    async with peer(echo) as server, http_api(server.url, max_connections=10, breaker=CALM) as api:

        async def ask(number: int) -> object:
            if number % 3 == 0:  # as wait_for cancels: the task, not a scope
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(chance.uniform(0, 0.02)):
                        return int((await api.get(f"/{number}")).body)
                return number
            if number % 3 == 1:
                async with api.download(f"/{number}") as download:
                    return int(b"".join([chunk async for chunk in download.chunks]))
            return int((await api.post(f"/{number}")).body)

        assert await cancelled_at_random(ask, longest=0.03) == []
        figures = api.stats()
        assert figures["in_use"] == figures["waiting"] == 0
        assert api._exchanges._transport._transport._pool._requests == []  # type: ignore[attr-defined]
        assert int((await api.get("/7")).body) == 7


def _all(kind: type[Exception]) -> set[type[Exception]]:
    return {kind}.union(*map(_all, kind.__subclasses__()))


async def test_ten_gigabytes_are_read_in_little_memory() -> None:
    wanted = 160_000 * 65_536 if FULL else 100_000_000
    size = 0
    async with peer(endless) as server, http_api(server.url) as api:
        tracemalloc.start()
        try:
            async with api.download("/", max_bytes=20 * 1024**3) as download:
                async for chunk in download.chunks:
                    size += len(chunk)
                    if size >= wanted:
                        break
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size >= wanted
    assert peak < 5_000_000
