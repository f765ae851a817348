"""What a server sends by itself, for as long as somebody listens: a connection that is watched, and opened again.

A loss is told the moment it is noticed, and so is its end: what was sent meanwhile was missed, and whoever keeps
something by what is sent must read it anew. Reading may be cancelled at any moment without missing anything.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import anyio

from heykit.errors import HeykitError, Unavailable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

logger = logging.getLogger("heykit.connections")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5  # seconds between attempts to connect, doubled up to the longest
_SHORTEST_INTERVAL = 0.05  # seconds
_LAST_LOOK = 0.05  # seconds


@dataclass(frozen=True)
class Lost:
    """The connection is lost: from now on nothing is heard, until `Resumed`."""

    reason: str


@dataclass(frozen=True)
class Resumed:
    """The connection is back: what was sent since `Lost` was missed."""


@dataclass(frozen=True)
class Invalidated:
    """Keys that have changed, expired or gone; None where that may be any."""

    keys: tuple[bytes, ...] | None


class Source(Protocol[T_co]):
    """One connection on which something is sent."""

    async def next(self, seconds: float) -> Sequence[T_co | None]:
        """Give what has come, waiting up to so many seconds for it; None is a sign of life and nothing more.

        May be cancelled. Raises Unavailable where the connection is lost.
        """

    async def ask(self) -> None:
        """Ask for a sign of life, which `next` gives."""

    def terminate(self) -> None: ...


class Feed(Generic[T]):
    """What one source after another gives. A server that says nothing for `interval` seconds is asked whether it lives.

    It has `limit` seconds to answer.
    """

    def __init__(
        self,
        opening: Callable[[], Awaitable[Source[T]]],
        *,
        interval: float,
        limit: float,
        clock: Callable[[], float] = time.monotonic,
        entropy: Callable[[], float] = random.random,
    ) -> None:
        self._opening = opening
        self._interval = max(interval, _SHORTEST_INTERVAL)
        self._limit = limit
        self._clock = clock
        self._entropy = entropy
        self._source: Source[T] | None = None
        self._resuming: asyncio.Task[Source[T]] | None = None
        self._ready: deque[T] = deque()
        self._heard = 0.0
        self._asked = False
        self._closed = False

    async def start(self) -> None:
        """Open the first source. Raises what that raises."""
        self._begin(await self._opening())

    def close(self) -> None:
        """End it, whoever listens: they hear that it is over."""
        self._closed = True
        self._ready.clear()
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming.add_done_callback(_terminate)  # where it had come to its end already
        if self._source is not None:
            self._source.terminate()

    def __aiter__(self) -> AsyncIterator[T | Lost | Resumed]:
        return self

    async def __anext__(self) -> T | Lost | Resumed:
        while not self._is_closed():
            if self._ready:
                return self._ready.popleft()
            if self._source is None:
                if await self._resume():
                    return Resumed()
                continue
            source = self._source
            try:
                await self._listen(source)
            except Unavailable as error:
                if self._source is source:  # else another listener has told it
                    lost = self._lose(str(error))
                    if not self._is_closed():
                        return lost
        raise StopAsyncIteration

    def _is_closed(self) -> bool:
        return self._closed

    def _begin(self, source: Source[T]) -> None:
        self._source = source
        self._heard = self._clock()
        self._asked = False

    async def _listen(self, source: Source[T]) -> None:
        if not self._asked and self._clock() - self._heard >= self._interval:
            self._asked = True
            self._heard = self._clock() - self._interval  # whoever listens only now gives it its time to answer
            await source.ask()
        left = self._interval + (self._limit if self._asked else 0.0) - (self._clock() - self._heard)
        # Looked at before it is judged: what has come may wait for a listener who was late.
        come = await source.next(max(left, _LAST_LOOK))
        self._ready.extend(event for event in come if event is not None)
        silent = self._clock() - self._heard
        if come:
            self._heard = self._clock()
            self._asked = False
        elif self._asked and silent >= self._interval + self._limit:
            raise Unavailable(f"it has said nothing for {silent:.1f} s")

    def _lose(self, reason: str) -> Lost:
        assert self._source is not None
        self._source.terminate()
        self._source = None
        if not self._closed:
            logger.warning("what a server sends is not heard: %s", reason)
        return Lost(reason)

    async def _resume(self) -> bool:
        """Wait for a source; tell whether it is this listener who is to tell of it."""
        # In a task of its own: a listener who can wait only briefly would cancel the connecting each time.
        task = self._resuming
        if task is None:
            task = self._resuming = asyncio.get_running_loop().create_task(self._reopened())
        await asyncio.wait({task})
        if self._is_closed() or self._resuming is not task:
            return False
        self._resuming = None
        self._begin(task.result())
        logger.info("what a server sends is heard again")
        return True

    async def _reopened(self) -> Source[T]:
        pause = _FIRST_PAUSE
        told = ""
        while True:
            try:
                return await self._opening()
            except HeykitError as error:
                if not isinstance(error, Unavailable) and str(error) != told:  # it may need somebody's help
                    told = str(error)
                    logger.warning("what a server sends is still not heard: %s", told)
            await anyio.sleep(pause * (0.5 + self._entropy() / 2))
            pause = min(2 * pause, _LONGEST_PAUSE)


def _terminate(task: asyncio.Task[Source[T]]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


class Feeds:
    """The feeds of one client, which end with it; `closed` is what to raise for who opens one afterwards."""

    def __init__(self, closed: Callable[[], HeykitError]) -> None:
        self._closed_error = closed
        self._open: set[Callable[[], None]] = set()
        self._closed = False

    @asynccontextmanager
    async def opened(self, feed: Feed[T]) -> AsyncGenerator[AsyncIterator[T | Lost | Resumed]]:
        if self._closed:
            raise self._closed_error()
        self._open.add(feed.close)
        try:
            await feed.start()
            if self._closed:
                raise self._closed_error()
            yield feed
        finally:
            self._open.discard(feed.close)
            feed.close()
            with anyio.CancelScope(shield=True):
                await asyncio.sleep(0)  # transports that were aborted leave the loop on its next turn

    def close(self) -> None:
        self._closed = True
        for close in [*self._open]:
            close()
