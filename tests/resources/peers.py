"""An HTTP peer of a test's own, which does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class Request:
    """What the peer was asked."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """Answers each request with the next of `answers`, the last one for ever."""

    url: str
    answers: list[Answer]
    asked: list[Request] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError, ValueError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                self.asked.append(await _read(reader))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                try:
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    await answer(writer)
                    await writer.drain()
                finally:
                    self.at_once -= 1
                if writer.is_closing():
                    break
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).strip(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return Request(method, target, headers, body)


@asynccontextmanager
async def peer(*answers: Answer) -> AsyncGenerator[Peer]:
    """Run a peer on a port of its own."""
    made = Peer("", list(answers))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    running: set[asyncio.Task[None]] = {*asyncio.all_tasks()}
    try:
        yield made
    finally:
        server.close()
        for task in asyncio.all_tasks() - running:
            if getattr(task.get_coro(), "__qualname__", "") == "Peer.serve":
                task.cancel()
        await asyncio.sleep(0.01)


def said(body: bytes = b"{}", status: int = 200, **headers: str) -> Answer:
    """Answer with a body."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)

    return answer


async def silent(writer: asyncio.StreamWriter) -> None:
    """Hang."""
    await asyncio.sleep(60)


async def gone(writer: asyncio.StreamWriter) -> None:
    """Hang up without a word."""
    writer.close()


def trickled(pause: float) -> Answer:
    """Answer a byte at a time, for ever."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


async def endless(writer: asyncio.StreamWriter) -> None:
    """Answer with 10 GB."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    for _ in range(160_000):
        writer.write(block)
        await writer.drain()
    writer.write(b"0\r\n\r\n")


async def cut(writer: asyncio.StreamWriter) -> None:
    """Close in the middle of a body."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 100)
    await writer.drain()
    writer.close()
