"""One exchange with an HTTP server, over httpx2's transport: what is sent, what comes, and what went wrong.

The transport stands for itself, without httpx2's client: that one logs every URL, and a query may hold a secret.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

import anyio
import httpx2

from heykit._finish import finish
from heykit.errors import HeykitError, HttpError, TimedOut, Unavailable

T = TypeVar("T")

_GOODBYE: Final = 1.0  # seconds to close a connection in order


@dataclass(frozen=True)
class Asked:
    """One request, ready to be sent as often as it may be."""

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes | AsyncIterable[bytes] | None


@dataclass(frozen=True)
class Phases:
    """Seconds for each phase of an exchange: to connect, and to wait for the next bytes to go or to come."""

    connection: float
    read: float


class CallersError(Exception):
    """What went wrong is the caller's own, and says nothing of the host."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        super().__init__()


class _Given:
    """What the caller gives to be sent, and what went wrong with it."""

    def __init__(self, content: AsyncIterable[bytes]) -> None:
        self._content = content
        self.failure: Exception | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        try:
            async for chunk in self._content:
                yield chunk
        except Exception as error:
            self.failure = error
            raise


class _Stream(Protocol):
    """What httpx2 hands on of a connection."""

    def get_extra_info(self, info: str) -> object: ...


class Transport:
    """Connections to one host."""

    def __init__(self, host: str, phases: Phases, max_connections: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._timeout = {
            "connect": phases.connection,
            "pool": phases.connection,
            "read": phases.read,
            "write": phases.read,
        }
        self._transport = httpx2.AsyncHTTPTransport(
            verify=True if tls is None else tls,
            trust_env=False,
            limits=httpx2.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
        )
        self._most = max_connections
        self._streams: list[_Stream] = []
        self.lost = 0

    async def close(self) -> None:
        await self._transport.aclose()

    @asynccontextmanager
    async def answered(self, asked: Asked) -> AsyncGenerator[httpx2.Response]:
        """Send a request; give the answer, whose body is still to come. Raises in heykit's words, or CallersError."""
        given = None if asked.content is None or isinstance(asked.content, bytes) else _Given(asked.content)
        response = await self._translated(self._sent(asked, given or asked.content), given)
        try:
            yield response
        finally:
            await finish(_ended(response))

    @asynccontextmanager
    async def body(self, response: httpx2.Response) -> AsyncGenerator[AsyncGenerator[bytes]]:
        """Give a body to be read with `next`, and end the reading whatever happens."""
        raw = response.aiter_raw()
        try:
            yield raw
        finally:
            await finish(raw.aclose())

    async def next(self, raw: AsyncGenerator[bytes]) -> bytes | None:
        """Give what comes next of a body, None at its end."""
        return await self._translated(anext(raw, None), None)

    async def _translated(self, call: Awaitable[T], given: _Given | None) -> T:
        """Let the transport's errors leave in heykit's words, and those of what it is given to send as the caller's."""
        failure: Exception
        try:
            value = await _by_itself(call)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            failure = translated(error, self._host)
        except Exception as error:
            if given is None or given.failure is None:
                raise
            failure = error
        else:
            if given is None or given.failure is None:
                return value
            failure = given.failure  # the server has answered before it had it all
        # Not within the handler: what the transport says may hold what was sent, and would be kept as the context.
        if given is not None and given.failure is not None:
            raise CallersError(given.failure)
        raise CallersError(failure) if isinstance(failure, HttpError) else failure

    def open(self) -> int:
        """Count the connections that are open, and those that were."""
        still = [stream for stream in self._streams if _is_open(stream)]
        self.lost += len(self._streams) - len(still)
        self._streams = still
        return len(still)

    async def _sent(self, asked: Asked, content: bytes | AsyncIterable[bytes] | None) -> httpx2.Response:
        request = httpx2.Request(
            asked.method,
            asked.url,
            headers=dict(asked.headers),
            content=content,
            extensions={"timeout": self._timeout},
        )
        response = await self._transport.handle_async_request(request)
        stream: _Stream = response.extensions["network_stream"]
        if all(stream is not known for known in self._streams):
            self._streams.append(stream)
            if len(self._streams) > self._most:
                self.open()
        return response


async def _by_itself(call: Awaitable[T]) -> T:
    """Await in a task of its own, and not without its end.

    The transport protects its clean-up from the cancellation of a scope, not from that of a task, as `asyncio.timeout`
    and `wait_for` cancel: interrupted, it would keep the request for good.
    """
    scope = anyio.CancelScope()

    async def run() -> T:
        with scope:
            return await call
        raise asyncio.CancelledError

    task = asyncio.get_running_loop().create_task(run())
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
            scope.cancel()
    if cancelled is None:
        return task.result()
    if not task.cancelled() and task.exception() is None:
        value = task.result()  # it has come all the same, and nobody takes it
        if isinstance(value, httpx2.Response):
            await finish(_ended(value))
    raise cancelled


async def _ended(response: httpx2.Response) -> None:
    with anyio.move_on_after(_GOODBYE):
        await response.aclose()


def _is_open(stream: _Stream) -> bool:
    found = stream.get_extra_info("socket")
    return isinstance(found, socket.socket | TransportSocket) and found.fileno() >= 0


def translated(error: Exception, host: str) -> HeykitError:
    """Translate what the transport raised. Its own text may hold what was sent."""
    match error:
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout() | httpx2.ProxyError():
            why = "it did not answer in time" if isinstance(error, httpx2.TimeoutException) else _reason(error)
            return Unavailable(f"cannot connect to {host} ({why}): start it, or check the base URL", had_no_effect=True)
        case httpx2.TimeoutException():
            return TimedOut(f"{host} said nothing for too long: the request may or may not have taken effect")
        case httpx2.LocalProtocolError() | httpx2.UnsupportedProtocol() | httpx2.InvalidURL():
            return HttpError(f"the request to {host} cannot be written as HTTP: check its path and headers")
        case httpx2.RemoteProtocolError():
            return Unavailable(f"{host} did not answer to the end: the request may or may not have taken effect")
    return Unavailable(f"the connection to {host} was lost: the request may or may not have taken effect")


def _reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as we do"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
