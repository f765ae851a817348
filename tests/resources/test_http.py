"""HTTP APIs as their users see them, against a peer that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import math
import ssl
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from heykit.errors import HeykitError, HttpError, HttpUnavailable, NotOpen, Overloaded, TimedOut, Unavailable
from heykit.resilience import Breaker
from heykit.resources import HttpResponse, http_api
from heykit.resources._http_wire import base_of, headers_of, retry_after, url_of
from tests.resources.peers import cut, endless, gone, peer, said, silent, trickled

SECRET = "hunter2"


@dataclass
class Video:
    id: int
    title: str


class Page(BaseModel):
    items: list[Video]


async def test_an_answer_comes_whole() -> None:
    async with peer(said(b"hello", 201, X_Request_Id="7")) as server, http_api(server.url + "/v2/") as api:
        response = await api.get("videos/7", query={"limit": 5, "tag": ["a", "b c"], "draft": True, "none": None})
        assert response == HttpResponse(201, {"content-length": "5", "x-request-id": "7"}, b"hello")
        assert server.asked[0].method == "GET"
        assert server.asked[0].target == "/v2/videos/7?limit=5&tag=a&tag=b%20c&draft=true"
        assert "authorization" not in server.asked[0].headers


async def test_json_is_read_into_a_type() -> None:
    body = json.dumps({"items": [{"id": 7, "title": "x"}]}).encode()
    bodies = [body, b'[{"id": 7, "title": "x"}]', b'{"id": 7, "title": "x"}']
    async with peer(*map(said, bodies)) as server, http_api(server.url) as api:
        assert await api.get("/videos", into=Page) == Page(items=[Video(7, "x")])
        assert await api.get("/videos", into=list[Video]) == [Video(7, "x")]
        assert await api.post("/videos", json=Video(7, "x"), into=Video) == Video(7, "x")
        assert server.asked[2].body == b'{"id":7,"title":"x"}'
        assert server.asked[2].headers["content-type"] == "application/json"


async def test_json_that_does_not_fit_says_where_and_shows_nothing() -> None:
    bodies = [
        b'{"items": [{"id": "hunter2", "title": "x"}]}',
        b'{"hunter2": 1}',
        b"hunter2",
        b"\xff\xfe",
        b"[" * 100_000,
    ]
    async with peer(*map(said, bodies)) as server, http_api(server.url) as api:
        for body in bodies:
            with pytest.raises(HttpError, match="does not fit Page: ") as wrong:
                await api.get("/videos", into=Page)
            assert SECRET not in str(wrong.value)
            assert wrong.value.__context__ is None
            assert wrong.value.body == body
    assert "items.0.id: int_parsing" in str(await _why(bodies[0]))


async def _why(body: bytes) -> HeykitError:
    async with peer(said(body)) as server, http_api(server.url) as api:
        with pytest.raises(HttpError) as wrong:
            await api.get("/", into=Page)
    return wrong.value


async def test_a_form_a_body_and_a_stream_are_sent() -> None:
    async def stream() -> AsyncGenerator[bytes]:
        yield b"a" * 10
        yield b"b" * 10

    async with peer(said()) as server, http_api(server.url) as api:
        await api.post("/form", form={"user": "a b", "password": "&"})
        await api.request("PUT", "/file", content=b"\x00\xff", headers={"Content-Type": "image/png"})
        await api.request("PATCH", "/file", content=stream())
    form, file, streamed = server.asked
    assert form.body == b"user=a+b&password=%26"
    assert form.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (file.method, file.body, file.headers["content-type"]) == ("PUT", b"\x00\xff", "image/png")
    assert streamed.body == b"a" * 10 + b"b" * 10


async def test_a_request_has_one_body_and_it_can_be_written() -> None:
    async with http_api("http://127.0.0.1:1") as api:
        with pytest.raises(HttpError, match="one body: give json= or form="):
            await api.post("/", json=1, form={})
        with pytest.raises(HttpError, match="object cannot be written as JSON"):
            await api.post("/", json=object())


async def test_every_request_has_the_headers_of_the_api() -> None:
    async with peer(said()) as server, http_api(server.url, headers={"Authorization": "Bearer a", "X-A": "1"}) as api:
        await api.get("/", headers={"x-a": "2"})
    assert server.asked[0].headers["authorization"] == "Bearer a"
    assert server.asked[0].headers["x-a"] == "2"


# ----------------------------------------------------------------------------------------------- what an answer means


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 302, 307])
async def test_a_refusal_is_one_error_with_what_was_said(status: int) -> None:
    async with peer(said(b"hunter2", status, Location="https://hunter2/")) as server, http_api(server.url) as api:
        with pytest.raises(HttpError, match=f"answered {status}") as refusal:
            await api.get("/")
    assert len(server.asked) == 1
    assert (refusal.value.answered, refusal.value.body, refusal.value.status) == (status, b"hunter2", 502)
    assert SECRET not in str(refusal.value)
    assert refusal.value.headers["location"] == "https://hunter2/"


async def test_not_modified_is_no_failure() -> None:
    async with peer(said(b"", 304)) as server, http_api(server.url) as api:
        assert (await api.get("/", headers={"If-None-Match": '"a"'})).status == 304


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
async def test_a_server_that_fails_is_asked_again_where_that_cannot_hurt(status: int) -> None:
    async with peer(said(b"", status), said(b"", status), said(b"ok")) as server, http_api(server.url) as api:
        assert (await api.get("/")).body == b"ok"
    assert len(server.asked) == 3
    for method in ("POST", "PATCH"):
        async with peer(said(b"", status), said(b"ok")) as server, http_api(server.url) as api:
            with pytest.raises(HttpUnavailable, match=f"answered {status}") as away:
                await api.request(method, "/")
        assert len(server.asked) == 1
        assert (away.value.answered, away.value.status) == (status, 503)


async def test_it_is_asked_so_often_and_no_oftener() -> None:
    async with peer(said(b"", 503)) as server, http_api(server.url, retry_attempts=2) as api:
        with pytest.raises(HttpUnavailable):
            await api.get("/")
        assert len(server.asked) == 3


async def test_an_idempotency_key_lets_a_post_be_repeated_with_the_same_key() -> None:
    async with peer(gone, said(b"", 503), said(b"ok")) as server, http_api(server.url) as api:
        assert (await api.post("/", json={}, idempotency_key="order-7")).body == b"ok"
    assert [request.headers["idempotency-key"] for request in server.asked] == ["order-7"] * 3


async def test_an_api_that_honours_keys_has_one_with_each_request_that_needs_it() -> None:
    async with peer(said(b"", 503), said(b"ok")) as server, http_api(server.url, idempotency_keys=True) as api:
        await api.post("/", json={})
        await api.post("/", json={})
        await api.get("/")
    first, again, second, read = (request.headers.get("idempotency-key") for request in server.asked)
    assert first == again
    assert first is not None
    assert second not in (None, first)
    assert read is None


async def test_a_request_that_is_asked_too_often_had_no_effect() -> None:
    """So a POST may come again, when the server has said."""
    async with peer(said(b"", 429, Retry_After="0"), said(b"ok")) as server, http_api(server.url) as api:
        assert (await api.post("/", json={})).body == b"ok"
    assert len(server.asked) == 2


async def test_retry_after_is_honoured() -> None:
    async with peer(said(b"", 503, Retry_After="1"), said(b"ok")) as server, http_api(server.url) as api:
        started = anyio.current_time()
        assert (await api.get("/")).body == b"ok"
        assert 1 <= anyio.current_time() - started < 1.5


async def test_a_retry_after_that_ends_too_late_is_handed_on_at_once() -> None:
    async with peer(said(b"", 503, Retry_After="3600")) as server, http_api(server.url) as api:
        with anyio.fail_after(1), pytest.raises(HttpUnavailable) as away:
            await api.get("/")
    assert away.value.retry_after == away.value.asked_to_wait == 3600
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), ("0", 0), ("120", 120), ("-1", None), ("soon", None), ("1.5", None), ("9" * 400, 999_999_999),
     (formatdate(1_000_060, usegmt=True), 60), (formatdate(10, usegmt=True), 0), ("²", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=1_000_000) == seconds


# ------------------------------------------------------------------------------------------------- peers that misbehave


async def test_a_peer_that_hangs_takes_no_longer_than_its_silence_may() -> None:
    async with peer(silent) as server, http_api(server.url, read_timeout=0.1, retry_attempts=1) as api:
        with anyio.fail_after(1), pytest.raises(TimedOut, match="said nothing for too long"):
            await api.get("/")
        with anyio.fail_after(1), pytest.raises(TimedOut) as late:
            await api.post("/")
    assert not late.value.had_no_effect
    assert [request.method for request in server.asked] == ["GET", "GET", "POST"]


async def test_a_peer_that_trickles_takes_no_longer_than_the_time_limit() -> None:
    async with peer(trickled(0.01)) as server, http_api(server.url, timeout=0.3) as api:
        with anyio.fail_after(0.6), pytest.raises(TimedOut, match=r"within 0\.3 s"):
            await api.get("/")
        assert api.stats()["in_use"] == 0


async def test_a_peer_that_sends_without_end_takes_no_more_memory_than_allowed() -> None:
    async with peer(endless) as server, http_api(server.url, max_response_bytes=1_000_000) as api:
        tracemalloc.start()
        try:
            with anyio.fail_after(5), pytest.raises(HttpError, match="more than 1000000 bytes") as refusal:
                await api.get("/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert refusal.value.code == "http.too_large"
        assert len(server.asked) == 1
    assert peak < 10_000_000


async def test_a_length_that_is_too_much_is_refused_before_it_is_read() -> None:
    async with peer(said(b"x" * 2000)) as server, http_api(server.url, max_response_bytes=1000) as api:
        with pytest.raises(HttpError, match="more than 1000 bytes"):
            await api.get("/")
        assert api.stats()["bytes_read"] == 0


async def test_what_is_packed_small_and_expands_without_end_is_cut_off() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with (
        peer(said(bomb, content_encoding="gzip")) as server,
        http_api(server.url, max_response_bytes=100_000) as api,
    ):
        tracemalloc.start()
        try:
            with pytest.raises(HttpError, match="more than 100000 bytes"):
                await api.get("/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 3_000_000


async def test_what_is_packed_is_expanded() -> None:
    packed = gzip.compress(b"hello" * 1000)
    bodies = [packed, packed[:-9], b"x", packed + packed, b"<html>"]
    answers = [said(body, content_encoding="gzip") for body in bodies]
    async with peer(*answers, said(b"x", content_encoding="br")) as server, http_api(server.url) as api:
        assert (await api.get("/")).body == b"hello" * 1000
        assert server.asked[0].headers["accept-encoding"] == "gzip"
        for why in (
            "cut off",
            "cut off",
            "goes on after its end",
            "cannot be expanded",
            "an encoding it was not asked",
        ):
            with pytest.raises(HttpError, match=why):
                await api.get("/")


async def test_a_peer_that_closes_in_the_middle_of_a_body_is_asked_again_and_then_told() -> None:
    async with peer(cut) as server, http_api(server.url, retry_attempts=2) as api:
        with pytest.raises(Unavailable, match="did not answer to the end"):
            await api.get("/")
        assert len(server.asked) == 3
        with pytest.raises(Unavailable):
            await api.post("/")
        assert len(server.asked) == 4


async def test_a_peer_that_is_away_was_asked_nothing_so_a_post_may_come_again() -> None:
    async with http_api("http://127.0.0.1:1", retry_attempts=1) as api:
        with pytest.raises(Unavailable, match=r"cannot connect to 127\.0\.0\.1:1 \(ConnectError\)") as away:
            await api.post("/")
        assert away.value.had_no_effect
        assert api.stats()["requests"] == 2


async def test_nonsense_is_no_answer() -> None:
    async def nonsense(writer: asyncio.StreamWriter) -> None:
        writer.write(b"hunter2\r\n\r\n")

    async with peer(nonsense) as server, http_api(server.url, retry_attempts=0) as api:
        with pytest.raises(Unavailable, match="did not answer to the end") as wrong:
            await api.get("/")
        assert SECRET not in str(wrong.value)


async def test_after_too_many_failures_it_is_left_in_peace_and_then_one_asks() -> None:
    policy = Breaker(failures=2, cooldown=0.2)
    answers = [said(b"", 500), said(b"", 500), said(b"ok")]
    async with peer(*answers) as server, http_api(server.url, retry_attempts=0, breaker=policy) as api:
        for _ in range(2):
            with pytest.raises(HttpUnavailable):
                await api.get("/")
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:\d+ is away, and not asked for") as refused:
            await api.get("/")
        assert refused.value.had_no_effect
        assert len(server.asked) == 2
        assert (await api.health()).status == "warn"
        await anyio.sleep(0.21)
        assert (await api.get("/")).body == b"ok"
        assert (await api.health()).status == "pass"


@pytest.mark.parametrize("status", [404, 429])
async def test_what_is_the_callers_fault_does_not_open_the_circuit(status: int) -> None:
    policy = Breaker(failures=1, cooldown=60)
    async with peer(said(b"", status)) as server, http_api(server.url, retry_attempts=0, breaker=policy) as api:
        for _ in range(3):
            with pytest.raises(HeykitError, match=f"answered {status}"):
                await api.get("/")
        assert len(server.asked) == 3


# ------------------------------------------------------------------------------------------------------------- limits


async def test_no_more_connections_than_allowed_and_who_finds_none_in_time_is_told() -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await said(b"ok")(writer)

    async with peer(slow) as server:
        async with http_api(server.url, max_connections=3) as api, anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(api.get, "/")
        assert server.most_at_once == 3
        assert server.connections == 3
        figures = api.stats()
        assert figures["acquired"] == 12
        async with http_api(server.url, max_connections=1, connection_timeout=0.02) as api:
            outcomes = await asyncio.gather(*(api.get("/") for _ in range(3)), return_exceptions=True)
            refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
            assert len(refused) == 2
            assert all(error.had_no_effect and "all 1 connections" in str(error) for error in refused)
            assert api.stats()["timed_out"] == 2


async def test_a_request_that_is_cancelled_leaves_nothing_behind() -> None:
    async with peer(trickled(0.01)) as server, http_api(server.url, max_connections=2) as api:
        for _ in range(10):
            with anyio.move_on_after(0.02):
                await api.get("/")
        figures = api.stats()
        assert figures["in_use"] == figures["waiting"] == figures["idle"] == 0


async def test_connections_are_used_again_and_counted() -> None:
    async with peer(said(b"ok"), said(b"ok"), gone, said(b"ok")) as server, http_api(server.url) as api:
        await api.get("/")
        await api.get("/")
        assert (api.stats()["idle"], api.stats()["reconnects"]) == (1, 0)
        await api.get("/")
        assert (api.stats()["idle"], api.stats()["reconnects"]) == (1, 1)
        assert server.connections == 2


@pytest.mark.parametrize(
    "limits",
    [{"max_connections": 0}, {"max_connections": -1}, {"connection_timeout": 0}, {"read_timeout": math.nan},
     {"timeout": -1}, {"timeout": math.nan}, {"retry_attempts": -1}, {"max_response_bytes": 0}],
)  # fmt: skip
def test_limits_that_make_no_sense(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        http_api("http://localhost", **limits)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------------------- downloads


@pytest.mark.parametrize(("most", "seconds"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, math.nan)])
async def test_a_download_with_limits_that_make_no_sense(most: int, seconds: float) -> None:
    async with http_api("http://localhost") as api:
        with pytest.raises(ValueError, match="max_bytes must be at least 1"):
            async with api.download("/", max_bytes=most, timeout=seconds):
                raise AssertionError


async def test_a_download_comes_in_pieces() -> None:
    body = bytes(range(256)) * 4000
    async with peer(said(body, content_type="video/mp4")) as server, http_api(server.url, max_response_bytes=10) as api:
        async with api.download("/video") as download:
            assert (download.status, download.size) == (200, len(body))
            assert download.headers["content-type"] == "video/mp4"
            chunks = [chunk async for chunk in download.chunks]
        assert b"".join(chunks) == body
        assert len(chunks) > 1
        assert server.asked[0].headers["accept-encoding"] == "identity"
        assert api.stats()["in_use"] == 0


async def test_a_download_without_end_is_bounded() -> None:
    async with peer(endless) as server, http_api(server.url) as api:
        size = 0
        with pytest.raises(HttpError, match="more than 1000000 bytes"):  # noqa: PT012
            async with api.download("/video", max_bytes=1_000_000) as download:
                async for chunk in download.chunks:
                    size += len(chunk)
        assert size <= 1_000_000
        async with api.download("/video") as download:
            async for _ in download.chunks:
                break  # whoever has had enough leaves
        assert api.stats()["in_use"] == 0


@pytest.mark.parametrize(("answer", "why"), [(trickled(0.01), "within the time limit"), (cut, "to the end")])
async def test_a_download_that_does_not_come_to_its_end_is_told(answer: object, why: str) -> None:
    async with peer(answer) as server, http_api(server.url) as api:  # type: ignore[arg-type]
        with anyio.fail_after(1), pytest.raises(Unavailable, match=why):  # noqa: PT012
            async with api.download("/video", timeout=0.1) as download:
                async for _ in download.chunks:
                    pass
        assert api.stats()["in_use"] == 0


async def test_a_download_that_is_refused_is_as_any_refusal() -> None:
    async with peer(said(b"no", 404), said(b"", 503), said(b"ok")) as server, http_api(server.url) as api:
        with pytest.raises(HttpError, match="answered 404") as refusal:
            async with api.download("/video"):
                raise AssertionError
        assert refusal.value.body == b"no"
        async with api.download("/video") as download:  # which is begun again
            assert [chunk async for chunk in download.chunks] == [b"ok"]


async def test_an_error_of_ones_own_in_a_download_stays_ones_own() -> None:
    async with peer(said(b"x" * 100)) as server, http_api(server.url) as api:
        with pytest.raises(FileNotFoundError):
            async with api.download("/video"):
                raise FileNotFoundError
        assert api.stats()["in_use"] == 0


async def test_an_error_of_what_is_sent_stays_ones_own() -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"x"
        raise FileNotFoundError

    async with peer(said()) as server, http_api(server.url) as api:
        with pytest.raises(FileNotFoundError):
            await api.post("/", content=broken())
        assert api.stats()["in_use"] == 0


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "ftp://host/", "https://", "https://user:hunter2@host", "https://host/?key=hunter2", "https://host/#a",
     "https://[hunter2", "https://host:hunter2", "https://ho st", "postgresql://a:hunter2@b"],
)  # fmt: skip
async def test_a_base_url_that_names_no_server_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(HttpError, match="base URL") as refusal:
        async with http_api(url):
            raise AssertionError
    assert SECRET not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "path",
    [
        "../admin",
        "/a/../../b",
        "a/..",
        ".",
        "/%2e%2E/b",
        "a/%2e",
        "a?b=1",
        "a#b",
        "a\\b",
        "a\r\nX: y",
        ("..",),
        ("a", "%2e."),
    ],
)
def test_a_path_that_leaves_the_base_url_is_refused(path: str | tuple[str, ...]) -> None:
    with pytest.raises(HttpError, match="a path goes down from the base URL"):
        url_of("https://host/v2", path, None)


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=4))
def test_a_part_of_a_path_stays_one_part_whatever_it_holds(parts: list[str]) -> None:
    try:
        url = url_of("https://host/v2", tuple(parts), None)
    except HttpError:
        return
    rest = url.removeprefix("https://host/v2").removeprefix("/")
    assert rest.count("/") == len(parts) - 1
    assert not {*rest} & {*"?#\\ \r\n"}


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"": "x"}, {"a": "x\r\nb: y"}, {"a": "\0"}, {"a": "ü"}, {"a:": "x"}])
def test_a_header_that_would_be_another_is_refused_and_not_shown(headers: dict[str, str]) -> None:
    with pytest.raises(HttpError, match="header"):
        headers_of(headers)


async def test_nothing_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [said(b"hunter2", 503, X_Token="-"), gone, said(b"hunter2", 404)]
    headers = {"Authorization": f"Bearer {SECRET}"}
    async with peer(*answers) as server, http_api(server.url, headers=headers) as api:
        with pytest.raises(HttpError) as refusal:
            await api.get("/", query={"key": SECRET}, headers={"cookie": SECRET})
        with pytest.raises(HttpError):
            await api.post("/", json={"password": SECRET}, idempotency_key=SECRET)
    assert len(caplog.messages) > 2
    assert not [message for message in caplog.messages if SECRET in message]
    assert SECRET not in str(refusal.value)
    assert SECRET not in repr(refusal.value)


async def test_a_closed_api_says_so() -> None:
    async with http_api("http://localhost") as api:
        assert (await api.health()).status == "pass"
    with pytest.raises(NotOpen, match="closed"):
        await api.get("/")
    assert (await api.health()).status == "fail"


async def test_a_path_for_its_health_is_asked() -> None:
    async with peer(said(b"ok"), said(b"", 404)) as server, http_api(server.url, health_path="/up") as api:
        health = await api.health()
        assert (health.status, health.kind) == ("pass", "resource")
        assert (await api.health()).reason.endswith("answered 404")
    assert [request.target for request in server.asked] == ["/up", "/up"]


async def test_a_server_that_speaks_no_tls_is_said() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"not TLS at all, not at all")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with http_api(f"https://127.0.0.1:{port}", retry_attempts=0, tls=ssl.create_default_context()) as api:
            with pytest.raises(Unavailable, match="does not speak TLS as we do") as wrong:
                await api.post("/")
            assert wrong.value.had_no_effect


def test_the_base_url_keeps_its_path() -> None:
    assert base_of("https://Host:8443/v2/") == "https://Host:8443/v2"
    assert url_of("https://host/v2", "/a b/ü%20/%", {}) == "https://host/v2/a%20b/%C3%BC%20/%25"
    assert url_of("https://host/v2", "", {"a": [1, 2.5]}) == "https://host/v2?a=1&a=2.5"


def self_signed(directory: Path) -> ssl.SSLContext:
    """Make a server's context with a certificate that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    pem += key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "pem")
    return context


async def test_a_certificate_that_is_not_trusted_is_said(tmp_path: Path) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    async with server, http_api(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry_attempts=0) as api:
        with pytest.raises(Unavailable, match="its certificate is not trusted: self-signed") as wrong:
            await api.post("/")
        assert wrong.value.had_no_effect
