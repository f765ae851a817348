"""The end of a server, as responses see it: what has no end of its own is ended, so that nobody waits for it."""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Send

__all__ = ["Ending", "Exchange"]


class Ending:
    """Whether the server is ending. It is begun from a signal handler, and waited for in the event loop."""

    def __init__(self) -> None:
        self.begun = False
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(self) -> None:
        """Wake those who wait in the running loop once it begins."""
        self._loop = asyncio.get_running_loop()

    def begin(self) -> None:
        self.begun = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()


class Exchange:
    """A request and its response on their way through.

    The application is told of a disconnect when the server ends, unless the response has an end of its own.
    """

    def __init__(self, receive: Receive, send: Send, ending: Ending) -> None:
        self._receive = receive
        self._send = send
        self._ending = ending
        self._unending = False  # it has begun, without a length
        self._done = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._unending = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._done = not message.get("more_body", False)
        await self._send(message)

    async def receive(self) -> Message:
        received = asyncio.ensure_future(self._receive())
        ending = asyncio.ensure_future(self._ending.wait())
        try:
            await asyncio.wait((received, ending), return_when=asyncio.FIRST_COMPLETED)
            if not received.done() and self._unending:
                return {"type": "http.disconnect"}
            return await received
        finally:
            received.cancel()
            ending.cancel()

    async def complete(self) -> None:
        """Send the end of a response that was ended before its own."""
        if self._ending.begun and self._unending and not self._done:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
