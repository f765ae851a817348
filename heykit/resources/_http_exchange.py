"""Exchanges with one host: never more at once than it bears, none that outlasts its limits, again where that may help.

From the outside in: each attempt of a `retry` waits for its place, asks the `breaker`, and then the host. An answer of
429 stands outside of the breaker: the host is well, it is asked too often.
"""

from __future__ import annotations

import dataclasses
import math
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import anyio
import httpx2

from heykit.errors import HttpUnavailable, NotOpen, Overloaded, TimedOut, Unavailable
from heykit.resilience import Breaker, Retry, breaker, retry
from heykit.resources._http_link import Asked, CallersError, Phases, Transport
from heykit.resources._http_wire import Limited, has_body, length_of, require_served
from heykit.resources.protocol import Download, HttpResponse

P = ParamSpec("P")
R = TypeVar("R")

_WAIT: Final = 0.1  # seconds that the first pause takes at most
_FAILED: Final = 300  # the first status that is no success
_KNOWN: Final = frozenset({"", "identity", "gzip", "x-gzip"})
_GOODBYE: Final = 1.0  # seconds for what is under way to end


@dataclass(frozen=True)
class HttpLimits:
    """The settings of a client; times in seconds."""

    max_connections: int
    phases: Phases
    timeout: float
    retry_attempts: int
    max_response_bytes: int
    breaker: Breaker

    def __post_init__(self) -> None:
        if self.max_connections < 1 or self.retry_attempts < 0 or self.max_response_bytes < 1:
            raise ValueError("max_connections and max_response_bytes must be at least 1, retry_attempts not below 0")
        if not (self.phases.connection > 0 and self.phases.read > 0 and self.timeout > 0):
            raise ValueError("connection_timeout, read_timeout and timeout must be above 0")


@dataclass
class Figures:
    """What is counted."""

    acquired: int = 0
    timed_out: int = 0
    waited: float = 0.0
    sent: int = 0
    failed: int = 0
    bytes_read: int = 0


class Exchanges:
    """What is asked of one host, and what of it is under way."""

    def __init__(
        self,
        host: str,
        limits: HttpLimits,
        tls: ssl.SSLContext | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.closed = False
        self.away = ""  # what went wrong last, where nothing has gone well since
        self.figures = Figures()
        self._host = host
        self._limits = limits
        self._clock = clock
        self._now = now
        self._transport = Transport(host, limits.phases, limits.max_connections, tls)
        self._places = anyio.Semaphore(limits.max_connections, fast_acquire=True)

        policy = limits.breaker
        counted = dataclasses.replace(policy, on=policy.on or (Unavailable,), ignore=(*policy.ignore, CallersError))
        circuit = breaker(counted, clock=clock)
        self._read, self._begun = circuit(self._named(self._read_once)), circuit(self._named(self._begun_once))
        again = Retry(1 + limits.retry_attempts, deadline=limits.timeout, wait=_WAIT, on=(Unavailable,))
        repeating = retry(again, idempotent=True, clock=clock, least_pause=_least_pause)
        cautious = retry(again, clock=clock, least_pause=_least_pause)
        self._repeated, self._sent_once = repeating(self._named(self._whole)), cautious(self._named(self._whole))
        self._opened = repeating(self._named(self._first))

    async def answered(self, asked: Asked, *, idempotent: bool) -> HttpResponse:
        """Ask and read the answer, whatever its status below 500."""
        ends = self._clock() + self._limits.timeout
        if not (asked.content is None or isinstance(asked.content, bytes)):
            return await self._whole(asked, ends)  # what has been taken of it is gone
        return await (self._repeated if idempotent else self._sent_once)(asked, ends)

    @asynccontextmanager
    async def streamed(self, asked: Asked, max_bytes: int, timeout: float) -> AsyncGenerator[Download | HttpResponse]:
        """Ask and give the body as it comes; or the answer, read, where its status is no success."""
        ends = self._clock() + self._limits.timeout
        stack, response = await self._opened(asked, ends)
        async with stack:
            if response.status_code >= _FAILED:
                with self._in_time(ends):
                    answer = await self._body(asked, response)
                yield answer
                return
            headers = _headers(response)
            encoding = headers.get("content-encoding", "")
            limited = Limited(self._host, max_bytes, encoding)
            size = None if encoding else length_of(asked.method, response.status_code, headers)
            if size is not None and size > max_bytes:
                raise limited.refusal()
            body = _Body(self._chunks(response, limited, timeout))
            try:
                yield Download(response.status_code, headers, size, body)
            finally:
                body.close()

    def require_open(self) -> None:
        if self.closed:
            raise NotOpen("this HTTP API is closed; use it inside the `async with http_api(...)` that opened it")

    async def close(self) -> None:
        """End what is under way, and see that nothing is left open."""
        self.closed = True
        await self._transport.close()
        taken = 0
        with anyio.move_on_after(_GOODBYE):
            while taken < self._limits.max_connections:
                await self._places.acquire()  # who waits for one has it before us, and learns that it is over
                taken += 1
        for _ in range(taken):
            self._places.release()
        await self._transport.close()

    def stats(self) -> dict[str, int | float]:
        most, free = self._limits.max_connections, self._places.value
        figures = self.figures
        return {
            "max_connections": most,
            "in_use": most - free,
            "idle": max(0, self._transport.open() - (most - free)),
            "utilization": (most - free) / most,
            "waiting": self._places.statistics().tasks_waiting,
            "acquired": figures.acquired,
            "timed_out": figures.timed_out,
            "reconnects": self._transport.lost,
            "wait_seconds": figures.waited,
            "requests": figures.sent,
            "failed": figures.failed,
            "bytes_read": figures.bytes_read,
        }

    # ------------------------------------------------------------------------------------------------- one attempt

    async def _whole(self, asked: Asked, ends: float) -> HttpResponse:
        async with self._place(ends):
            response = await self._noted(self._read(asked, ends))
        self._require_served(response.status, response.headers)
        return response

    async def _first(self, asked: Asked, ends: float) -> tuple[AsyncExitStack, httpx2.Response]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._place(ends))
            response = await self._noted(self._begun(stack, asked, ends))
            self._require_served(response.status_code, response.headers)
            return stack.pop_all(), response

    async def _read_once(self, asked: Asked, ends: float) -> HttpResponse:
        self.figures.sent += 1
        with self._in_time(ends):
            async with self._transport.answered(asked) as response:
                if response.status_code != 429:
                    self._require_served(response.status_code, response.headers)
                return await self._body(asked, response)
        raise AssertionError

    async def _begun_once(self, stack: AsyncExitStack, asked: Asked, ends: float) -> httpx2.Response:
        self.figures.sent += 1
        with self._in_time(ends):
            response = await stack.enter_async_context(self._transport.answered(asked))
            if response.status_code != 429:
                self._require_served(response.status_code, response.headers)
            return response
        raise AssertionError

    async def _body(self, asked: Asked, response: httpx2.Response) -> HttpResponse:
        status, headers, most = response.status_code, _headers(response), self._limits.max_response_bytes
        encoding = headers.get("content-encoding", "")
        if not has_body(asked.method, status) or (status >= _FAILED and encoding.lower() not in _KNOWN):
            encoding = ""  # there is nothing to expand; or what went wrong matters more than how it is packed
        limited = Limited(self._host, most, encoding)
        if (length_of(asked.method, status, headers) or 0) > most:
            raise limited.refusal()
        chunks: list[bytes] = []
        try:
            async with self._transport.body(response) as raw:
                while (chunk := await self._transport.next(raw)) is not None:
                    self.figures.bytes_read += len(chunk)
                    chunks.append(limited.taken(chunk))
            limited.end()
        except BaseException:
            chunks.clear()  # whoever keeps the error keeps this frame with it
            raise
        return HttpResponse(status, headers, b"".join(chunks))

    async def _chunks(self, response: httpx2.Response, limited: Limited, left: float) -> AsyncGenerator[bytes]:
        """Give a body as it comes, waiting for it for at most `left` seconds in all."""
        async with self._transport.body(response) as raw:
            while True:
                asked = self._clock()
                chunk = await self._noted(self._next(raw, left))
                left -= self._clock() - asked
                if chunk is None:
                    break
                self.figures.bytes_read += len(chunk)
                if taken := limited.taken(chunk):
                    yield taken
        limited.end()

    async def _next(self, raw: AsyncGenerator[bytes], seconds: float) -> bytes | None:
        with anyio.move_on_after(seconds):
            return await self._transport.next(raw)
        raise TimedOut(f"{self._host} did not send it all within the time limit")

    def _require_served(self, status: int, headers: Mapping[str, str]) -> None:
        require_served(status, headers, self._host, now=self._now())

    # -------------------------------------------------------------------------------------------------------- limits

    @asynccontextmanager
    async def _place(self, ends: float) -> AsyncGenerator[None]:
        started = self._clock()
        with anyio.move_on_after(min(self._limits.phases.connection, ends - started)) as waiting:
            await self._places.acquire()
        self.figures.waited += self._clock() - started
        if waiting.cancelled_caught:
            self.figures.timed_out += 1
            raise Overloaded(
                f"all {self._limits.max_connections} connections to {self._host} were in use and none free in time",
                had_no_effect=True,
            )
        self.figures.acquired += 1
        try:
            self.require_open()
            yield
        except CallersError as wrapped:
            raise wrapped.error from wrapped.error.__cause__
        finally:
            self._places.release()

    @contextmanager
    def _in_time(self, ends: float) -> Generator[None]:
        with anyio.move_on_after(ends - self._clock()) as limit:
            yield
        if limit.cancelled_caught:
            raise TimedOut(
                f"{self._host} did not answer to the end within {self._limits.timeout:g} s: the request may or may not "
                "have taken effect"
            )

    async def _noted(self, asking: Awaitable[R]) -> R:
        try:
            value = await asking
        except Unavailable as error:
            self.figures.failed += 1
            self.away = str(error)
            raise
        self.away = ""
        return value

    def _named(self, attempt: Callable[P, Coroutine[object, object, R]]) -> Callable[P, Coroutine[object, object, R]]:
        """Call an attempt by its host, for what `retry` and `breaker` say of it."""

        async def asking(*args: P.args, **kwargs: P.kwargs) -> R:
            return await attempt(*args, **kwargs)

        asking.__qualname__ = self._host
        return asking


def _least_pause(error: Exception) -> float:
    if isinstance(error, Overloaded):
        return math.inf  # who found no place in time has waited as long as one may
    return error.asked_to_wait or 0.0 if isinstance(error, HttpUnavailable) else 0.0


def _headers(response: httpx2.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


class _Body:
    """What comes of a body, for as long as its connection is held."""

    def __init__(self, chunks: AsyncGenerator[bytes]) -> None:
        self._chunks = chunks
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise NotOpen("this download is over; read it inside the `async with api.download(...)` that began it")
        return await anext(self._chunks)

    def close(self) -> None:
        self._closed = True
