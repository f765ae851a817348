"""One user's streams of progress: however many watch a video, it is looked at once, and all end with the session."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from heykit.errors import NotOpen
from heykit.heygen.bell import Bell, Signal
from heykit.heygen.errors import TooManyStreams
from heykit.heygen.progress import Progress, Watch

__all__ = ["ProgressHub", "progress_hub"]


class ProgressHub(Protocol):
    """Watches videos for one user session."""

    def watching(self, video_id: str, /) -> AbstractAsyncContextManager[AsyncIterator[Progress]]:
        """Give a video's progress now, then each change, as `Watch` does; end with the hub at the latest.

        Raises TooManyStreams where the session has as many open as it may.
        """
        ...


@asynccontextmanager
async def progress_hub(
    watch: Watch, *, limit: int = 20, until: Callable[[], Awaitable[None]] | None = None
) -> AsyncGenerator[ProgressHub]:
    """Share what `watch` gives among the streams of a session, of which at most `limit` are open at once.

    All of them end when `until` returns, which waits for the end of the session.
    """
    async with anyio.create_task_group() as tasks:
        hub = _Hub(watch, limit, tasks)
        if until is not None:
            tasks.start_soon(_close_after, hub, until)
        try:
            yield hub
        finally:
            hub.close()
            tasks.cancel_scope.cancel()


async def _close_after(hub: _Hub, until: Callable[[], Awaitable[None]]) -> None:
    await until()
    hub.close()


class _Channel:
    """What is known of one video while somebody watches it."""

    def __init__(self) -> None:
        self.latest: Progress | None = None
        self.error: Exception | None = None
        self.over = False
        self.watchers = 0
        self.following = anyio.CancelScope()


class _Hub:
    def __init__(self, watch: Watch, limit: int, tasks: TaskGroup) -> None:
        self._watch = watch
        self._limit = limit
        self._tasks = tasks
        self._bell = Bell()
        self._channels: dict[str, _Channel] = {}
        self._streams = 0
        self._closed = False

    @asynccontextmanager
    async def watching(self, video_id: str, /) -> AsyncGenerator[AsyncIterator[Progress]]:
        if self._closed:
            raise NotOpen("this session has ended: log in again")
        if self._streams >= self._limit:
            raise TooManyStreams(f"{self._limit} streams of this session are open: close one, or share it")
        self._streams += 1
        channel = self._channels.get(video_id) or self._begun(video_id)
        channel.watchers += 1
        try:
            with self._bell.listening(video_id) as change:
                async with aclosing(_steps(channel, change)) as steps:
                    yield steps
        finally:
            self._streams -= 1
            channel.watchers -= 1
            if not channel.watchers:
                self._drop(video_id, channel)

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for video_id, channel in [*self._channels.items()]:
            self._drop(video_id, channel)

    def _drop(self, video_id: str, channel: _Channel) -> None:
        """Follow it no more; whoever comes now begins anew."""
        channel.following.cancel()
        if self._channels.get(video_id) is channel:
            del self._channels[video_id]

    def _begun(self, video_id: str) -> _Channel:
        channel = self._channels[video_id] = _Channel()
        self._tasks.start_soon(self._follow, video_id, channel)
        return channel

    async def _follow(self, video_id: str, channel: _Channel) -> None:
        try:
            with channel.following:
                async with aclosing(self._watch(video_id)) as steps:
                    async for step in steps:
                        channel.latest = step
                        self._bell.ring(video_id)
        except Exception as error:  # noqa: BLE001 - it is raised to those who watch this video, and harms no other
            channel.error = error
        finally:
            channel.over = True
            self._drop(video_id, channel)
            self._bell.ring(video_id)


async def _steps(channel: _Channel, change: Signal) -> AsyncGenerator[Progress]:
    seen: Progress | None = None
    while True:
        if channel.latest is not None and channel.latest != seen:
            seen = channel.latest
            yield seen
        elif channel.error is not None:
            raise channel.error
        elif channel.over:
            return
        else:
            await change.wait(math.inf)
