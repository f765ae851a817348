"""Serving an application with uvicorn: the port is bound before anything opens, and an error is told in one line."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heykit.errors import HeykitError

__all__ = ["bound", "serve", "telling"]


class PortError(HeykitError):
    """The address cannot be bound."""

    code = "serving.port"


def bound(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one.

    Raises `PortError`, which says what to do, where it cannot be had.
    """
    if not 0 <= port <= 65_535:
        raise PortError(f"{port} is no port: one from 0 to 65535 is")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        raise PortError(f"{host}:{port} cannot be listened on ({reason}): choose another host or port") from error


def serve(app: ASGIApp, listening: socket.socket, *, debug: bool = False, patience: int = 3) -> None:
    """Serve until the process is asked to stop.

    `patience`: seconds that requests still running, such as event streams, have to end. Exits with status 3 where the
    application cannot start.
    """
    import uvicorn

    config = uvicorn.Config(
        telling(app),
        lifespan="on",
        log_level="debug" if debug else "info",
        timeout_graceful_shutdown=patience,
    )
    # Once all is closed uvicorn raises the signal again that ended it; a person who pressed Ctrl-C wants no trace.
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])


def telling(app: ASGIApp) -> ASGIApp:
    """Wrap an application so that a failed start is told by its error alone: a person reads that line, not a trace.

    What heykit raises says by itself what is wrong; the trace of any other error is kept.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
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
                await send({**message, "message": f"{type(error).__name__}: {error}"})
            raise
        except BaseException:
            for message in failures:
                await send(message)
            raise
        for message in failures:
            await send(message)

    return wrapped
