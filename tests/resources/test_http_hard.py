"""HTTP APIs in awkward moments: what a hostile look at the client has found."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncGenerator
from datetime import date
from enum import Enum
from typing import Annotated

import anyio
import httpx2
import pytest

from heykit.errors import HeykitError, HttpError, HttpUnavailable, NotOpen, Overloaded, TimedOut, Unavailable
from heykit.resilience import Breaker
from heykit.resources import http_api
from heykit.resources._http_wire import headers_of, retry_after, url_of
from tests.resources.peers import Answer, cut, gone, peer, said, silent, trickled


class Order(str, Enum):  # noqa: UP042 - StrEnum shows what it is
    """A word whose text is not its name."""

    NEWEST = "newest"


def raw(answer: bytes, then: Answer | None = None) -> Answer:
    """Answer with these bytes, and go on."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        if then is not None:
            await then(writer)

    return write


async def drip(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


# ------------------------------------------------------------------------------------------------------- time and size


async def test_a_refusal_of_a_download_that_trickles_takes_no_longer_than_the_time_limit() -> None:
    head = b"HTTP/1.1 404 X\r\ncontent-length: 100000\r\n\r\n"
    async with peer(raw(head, drip)) as server, http_api(server.url, timeout=0.2) as api:
        with anyio.fail_after(1), pytest.raises(TimedOut):
            async with api.download("/"):
                raise AssertionError
        assert api.stats()["in_use"] == 0


@pytest.mark.parametrize("then", [silent, drip])
@pytest.mark.parametrize("head", [b"content-length: 1000\r\n\r\nabc", b"transfer-encoding: chunked\r\n\r\n1;x"])
async def test_a_download_is_waited_for_no_longer_than_it_may_take(head: bytes, then: Answer) -> None:
    """Also where what comes is no content yet."""
    async with peer(raw(b"HTTP/1.1 200 OK\r\n" + head, then)) as server, http_api(server.url) as api:
        with anyio.fail_after(1), pytest.raises(TimedOut):  # noqa: PT012
            async with api.download("/", timeout=0.2) as download:
                async for _ in download.chunks:
                    continue
        assert (await api.health()).status == "warn"


async def test_the_time_that_whoever_reads_takes_is_his_own() -> None:
    async with peer(said(b"hello")) as server, http_api(server.url) as api:
        async with api.download("/", timeout=0.1) as download:
            chunks = []
            async for chunk in download.chunks:
                chunks.append(chunk)
                await anyio.sleep(0.2)
        assert chunks == [b"hello"]


async def test_nothing_is_kept_of_what_comes_after_the_end_of_gzip() -> None:
    async def flood(writer: asyncio.StreamWriter) -> None:
        for _ in range(2000):
            writer.write(b"x" * 65_536)
            await writer.drain()

    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n" + gzip.compress(b"")
    async with peer(raw(head, flood)) as server, http_api(server.url, max_response_bytes=1000) as api:
        tracemalloc.start()
        try:
            with pytest.raises(HttpError, match="goes on after its end"):
                await api.get("/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000


async def test_the_wait_for_a_connection_is_a_part_of_the_time_limit_and_no_failure_of_the_host() -> None:
    policy = Breaker(failures=1, cooldown=60)
    async with peer(silent) as server:
        limits = {"max_connections": 1, "connection_timeout": 5, "timeout": 0.2, "retry_attempts": 0}
        async with http_api(server.url, **limits, breaker=policy, read_timeout=0.15) as api:  # type: ignore[arg-type]
            async with anyio.create_task_group() as tasks:

                async def hold() -> None:
                    with pytest.raises(TimedOut):
                        await api.get("/")

                tasks.start_soon(hold)
                await anyio.sleep(0.01)
                with anyio.fail_after(1), pytest.raises((Overloaded, Unavailable)) as late:
                    await api.post("/")
            assert late.value.had_no_effect
        assert [request.method for request in server.asked] == ["GET"]


# ------------------------------------------------------------------------------------------------------------- closing


async def test_closing_ends_what_is_under_way_and_what_waits() -> None:
    outcomes: list[str] = []
    async with peer(silent) as server, anyio.create_task_group() as tasks:
        async with http_api(server.url, max_connections=2) as api:

            async def ask() -> None:
                try:
                    await api.get("/")
                except HeykitError as error:
                    outcomes.append(type(error).__name__)

            for _ in range(6):
                tasks.start_soon(ask)
            await anyio.sleep(0.05)
        await anyio.sleep(0.3)
        assert outcomes == ["NotOpen"] * 6
        assert len(server.asked) == 2
        assert api.stats()["in_use"] == api.stats()["idle"] == 0


async def test_a_download_that_is_over_says_so() -> None:
    async with peer(said(b"x" * 200_000)) as server, http_api(server.url) as api:
        async with api.download("/") as download:
            await anext(aiter(download.chunks))
        with pytest.raises(NotOpen, match="this download is over"):
            await anext(aiter(download.chunks))


async def test_downloads_that_are_cut_are_counted() -> None:
    async with peer(cut) as server, http_api(server.url) as api:
        with pytest.raises(Unavailable):  # noqa: PT012
            async with api.download("/") as download:
                async for _ in download.chunks:
                    continue
        assert api.stats()["failed"] == 1
        assert (await api.health()).status == "warn"


# ----------------------------------------------------------------------------------------------- whose fault it is


async def test_errors_of_what_is_sent_are_the_callers_and_say_nothing_of_the_host() -> None:
    policy = Breaker(failures=1, cooldown=60)
    async with peer(said(b"ok")) as server, http_api(server.url, breaker=policy) as api:
        for error in (httpx2.ReadError("mine"), Unavailable("the file store is away"), KeyError("mine")):

            async def broken(raised: Exception = error) -> AsyncGenerator[bytes]:
                yield b"x"
                raise raised

            with pytest.raises(type(error)) as raised:
                await api.post("/", content=broken())
            assert raised.value is error
        assert (await api.get("/")).body == b"ok"


async def test_an_error_of_ones_own_does_not_close_a_circuit_that_is_half_open() -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"x"
        raise KeyError

    policy = Breaker(failures=1, cooldown=0.05)
    async with peer(said(b"", 500)) as server, http_api(server.url, breaker=policy, retry_attempts=0) as api:
        with pytest.raises(HttpUnavailable):
            await api.get("/")
        await anyio.sleep(0.06)
        with pytest.raises(KeyError):
            await api.post("/", content=broken())
        asked = len(server.asked)
        outcomes = await asyncio.gather(*(api.get("/") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(outcome, Unavailable) for outcome in outcomes)
        assert len(server.asked) == asked + 1  # one probe


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection", "host"])
def test_how_a_request_is_framed_is_not_for_the_caller_to_say(name: str) -> None:
    with pytest.raises(HttpError, match="is written by heykit"):
        headers_of({name: "1"})


async def test_a_key_in_the_headers_is_the_callers_key() -> None:
    async with peer(said(b"", 503), said()) as server, http_api(server.url, idempotency_keys=True) as api:
        await api.post("/", headers={"Idempotency-Key": "mine"})
    assert [request.headers["idempotency-key"] for request in server.asked] == ["mine", "mine"]


async def test_a_type_that_cannot_be_read_is_told_before_anything_is_sent() -> None:
    class Strange:
        """Nothing that pydantic knows."""

    async with peer(said(b"{}")) as server, http_api(server.url) as api:
        with pytest.raises(Exception, match="Strange"):
            await api.post("/", into=Strange)
        assert server.asked == []
        odd: type[dict[str, str]] = Annotated[dict[str, str], {}]  # type: ignore[assignment]
        assert await api.post("/", into=odd) == {}


# ------------------------------------------------------------------------------------------------------- what is shown


async def test_keys_that_the_server_has_chosen_are_not_shown() -> None:
    async with peer(said(b'{"hunter2": "x"}')) as server, http_api(server.url) as api:
        with pytest.raises(HttpError, match=r"does not fit dict: \.\.\.: int_parsing"):
            await api.get("/", into=dict[str, int])


async def test_nothing_of_what_came_is_kept_with_an_error() -> None:
    async with peer(raw(b"hunter2 hunter2\r\n\r\n"), gone) as server, http_api(server.url, retry_attempts=0) as api:
        for _ in range(2):
            with pytest.raises(Unavailable) as wrong:
                await api.post("/")
            assert wrong.value.__context__ is None
            assert wrong.value.__cause__ is None


# ------------------------------------------------------------------------------------------------- what HTTP says


@pytest.mark.parametrize(("method", "status"), [("GET", 304), ("HEAD", 200), ("GET", 204)])
async def test_an_answer_without_a_body_is_judged_by_none(method: str, status: int) -> None:
    head = f"HTTP/1.1 {status} X\r\ncontent-length: 100000\r\ncontent-encoding: br\r\n\r\n".encode()
    async with peer(raw(head)) as server, http_api(server.url, max_response_bytes=1000) as api:
        response = await api.request(method, "/")
        assert (response.status, response.body) == (status, b"")


async def test_a_transfer_encoding_is_in_force_over_a_length() -> None:
    body = b"transfer-encoding: chunked\r\ncontent-length: 999999999\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with peer(raw(b"HTTP/1.1 200 OK\r\n" + body)) as server, http_api(server.url) as api:
        assert (await api.get("/")).body == b"ok"
        async with api.download("/") as download:
            assert download.size is None
            assert [chunk async for chunk in download.chunks] == [b"ok"]


@pytest.mark.parametrize("coding", ["GZIP", "x-gzip", " gzip "])
async def test_a_coding_has_several_spellings(coding: str) -> None:
    async with peer(said(gzip.compress(b"ok"), content_encoding=coding)) as server, http_api(server.url) as api:
        assert (await api.get("/")).body == b"ok"


async def test_a_refusal_is_told_however_it_is_packed() -> None:
    async with peer(said(b"x", 404, content_encoding="br")) as server, http_api(server.url) as api:
        with pytest.raises(HttpError, match="answered 404") as refusal:
            await api.get("/")
        assert refusal.value.answered == 404


def test_a_parameter_is_what_it_is_and_not_what_it_shows() -> None:
    assert url_of("http://h", "/", {"order": Order.NEWEST, "n": 1e-7}) == "http://h?order=newest&n=1e-07"
    for wrong in (b"bytes", date(2026, 1, 1), [b"x"], "\ud800"):
        with pytest.raises(HttpError, match="a parameter is"):
            url_of("http://h", "/", {"q": wrong})  # type: ignore[dict-item]


@pytest.mark.parametrize("path", ["/a/..;/b", "..%2fadmin", "a%5Cb", "/\ud800", ("\ud800",)])
def test_ways_round_a_path(path: str | tuple[str, ...]) -> None:
    with pytest.raises(HttpError, match="a path"):
        url_of("https://host/v2", path, None)


@pytest.mark.parametrize("value", ["Sun Nov  6 08:50:37 1994", "Sun, 06 Nov 1994 08:50:37 -0000"])
def test_dates_are_in_utc(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert retry_after(value, now=784111777) == 60


async def test_a_trickling_peer_of_many_costs_each_its_own_limit() -> None:
    async with (
        peer(trickled(0.01)) as server,
        http_api(server.url, timeout=0.2, retry_attempts=0, max_connections=20) as api,
    ):
        outcomes = await asyncio.gather(*(api.get("/") for _ in range(20)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {TimedOut, Unavailable}
        assert api.stats()["in_use"] == 0
