"""The end of a server: what has no end of its own is ended, everything else is left to finish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from heykit.web.ending import Ending
from heykit.web.serving import telling

SCOPE: Scope = {"type": "http", "asgi": {"spec_version": "2.3"}, "method": "GET", "path": "/", "headers": []}


class Asked:
    """A stream of two chunks, the second when it may go on, and what reached the client."""

    def __init__(self, length: int | None) -> None:
        self.headers = {} if length is None else {"content-length": str(length)}
        self.sent: list[bytes] = []
        self.complete = False
        self.go_on = anyio.Event()
        self.ending = Ending()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.ending.watch()
        await StreamingResponse(self.chunks(), headers=self.headers)(scope, receive, send)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"first"
        await self.go_on.wait()
        yield b" last"

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.sent.append(message["body"])
            self.complete = not message["more_body"]

    async def ask(self, receive: Receive) -> None:
        await telling(self.app, ending=self.ending)(SCOPE, receive, self.send)

    @asynccontextmanager
    async def running(self, receive: Receive) -> AsyncGenerator[None]:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.ask, receive)
                await anyio.wait_all_tasks_blocked()
                yield


async def stays() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


async def test_an_event_stream_ends_with_the_server_and_is_whole_for_its_client() -> None:
    asked = Asked(None)
    async with asked.running(stays):
        asked.ending.begin()
    assert (asked.sent, asked.complete) == ([b"first", b""], True)


async def test_a_download_of_known_length_goes_on() -> None:
    asked = Asked(10)
    async with asked.running(stays):
        asked.ending.begin()
        await anyio.wait_all_tasks_blocked()
        assert asked.sent == [b"first"]
        asked.go_on.set()
    assert (b"".join(asked.sent), asked.complete) == (b"first last", True)


async def test_while_the_server_goes_on_a_stream_does() -> None:
    asked = Asked(None)
    async with asked.running(stays):
        asked.go_on.set()
    assert (b"".join(asked.sent), asked.complete) == (b"first last", True)


async def test_a_client_that_leaves_is_told_as_ever() -> None:
    async def leaves() -> Message:
        return {"type": "http.disconnect"}

    asked = Asked(None)
    async with asked.running(leaves):
        pass
    assert b" last" not in asked.sent
    assert not asked.complete


async def test_a_request_that_is_cut_off_by_the_end_is_no_error() -> None:
    """The server cancels its task when its patience is over, and would log what comes out."""
    asked = Asked(10)
    task = asyncio.create_task(asked.ask(stays))
    await anyio.wait_all_tasks_blocked()
    asked.ending.begin()
    task.cancel()
    await task
    assert asked.sent == [b"first"]


async def test_one_that_is_cut_off_before_is_cancelled_as_ever() -> None:
    asked = Asked(10)
    task = asyncio.create_task(asked.ask(stays))
    await anyio.wait_all_tasks_blocked()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
