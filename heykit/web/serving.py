"""Serving an application with uvicorn: the port is bound before anything opens, and an error is told in one line."""

from __future__ import annotations

import os
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heykit.errors import HeykitError
from heykit.web.ending import Ending, Exchange

__all__ = ["bound", "serve", "telling"]


class PortError(HeykitError):
    """The address cannot be bound."""

    code = "serving.port"


def bound(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one.

    Raises `PortError`, which says what to do, where it cannot be had.
    """
    if not host.isascii() or not host:
        raise PortError(f"{host!r} is no host to listen on: give a name or an address")
    if not 0 <= port <= 65_535:
        raise PortError(f"{port} is no port: one from 0 to 65535 is")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise PortError(f"{host}:{port} cannot be listened on ({reason}): choose another host or port") from error


def serve(
    app: ASGIApp, listening: socket.socket, *, debug: bool = False, patience: int = 3, trusted_proxies: str = ""
) -> None:
    """Serve until the process is asked to stop.

    Event streams are ended then; `patience`: seconds that other requests have to end. `trusted_proxies`: addresses,
    separated by commas, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. Exits with status 3 where the
    application cannot start.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        lifespan="on",
        log_level="debug" if debug else "info",
        timeout_graceful_shutdown=patience,
        # Else whoever is on this machine, or comes by way of it, could say that they come from elsewhere.
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=trusted_proxies,
    )

    ending = Ending()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            # A second Ctrl-C would skip the closing of everything; the first has its time limit.
            self.force_exit = False
            ending.begin()

    server = Server(config)
    config.app = telling(app, ending=ending)
    # Once all is closed uvicorn raises the signal again that ended it; a person who pressed Ctrl-C wants no trace.
    with suppress(KeyboardInterrupt):
        server.run(sockets=[listening])
    if ending.begun and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process ends: one more has nothing left to interrupt


def telling(app: ASGIApp, *, ending: Ending | None = None) -> ASGIApp:
    """Wrap an application so that a failed start is told by its error alone: a person reads that line, not a trace.

    What heykit raises says by itself what is wrong; the trace of any other error is kept. When the server is `ending`,
    responses without an end of their own, such as event streams, are ended, and a request that is cut off is no error.
    """
    ends = Ending() if ending is None else ending

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            ends.watch()
            await _told(app, scope, receive, send)
            return
        exchange = Exchange(receive, send, ends) if scope["type"] == "http" else None
        try:
            if exchange is None:
                await app(scope, receive, send)
            else:
                await app(scope, exchange.receive, exchange.send)
                await exchange.complete()
        except anyio.get_cancelled_exc_class():
            if not ends.begun:
                raise

    return wrapped


async def _told(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    failures: list[Message] = []

    async def hold(message: Message) -> None:
        if message["type"].endswith(".failed"):
            failures.append(message)
        else:
            await send(message)

    try:
        await app(scope, receive, hold)
    except HeykitError as error:
        for message in failures:
            message["message"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        for message in failures:
            await send(message)
