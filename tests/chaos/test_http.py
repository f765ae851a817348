"""An HTTP peer that does all it should not, under load."""

from __future__ import annotations

import random
import tracemalloc

import anyio

from heykit.errors import HttpError, Unavailable
from heykit.resilience import Breaker
from heykit.resources import http_api
from tests.chaos.load import FULL, Load
from tests.resources.peers import Answer, cut, endless, gone, peer, said, silent, trickled

SECONDS = 10.0 if FULL else 2.0
LIMIT = 1.0


async def test_whatever_a_peer_does_costs_bounded_time_and_memory_and_is_one_clear_error() -> None:
    chance = random.Random(7)
    faults: list[Answer] = [silent, trickled(0.01), endless, cut, gone, said(b"", 503, Retry_After="1"), said(b"ok")]
    calm = Breaker(failures=1_000_000)  # which else would keep most of them from asking at all

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
            breaker=calm,
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
