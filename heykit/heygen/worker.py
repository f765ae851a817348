"""The render worker: takes jobs from the queue, has them rendered, puts the files into the store.

`at_once` lanes each take one job after another. While a job is rendered, a keeper beside it writes its progress and
renews its lease, and stops the rendering when the job is no longer ours. Closing the worker puts its jobs back into
the queue; a process that is killed leaves them to whoever finds the lease run out.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeAlias, TypeVar

import anyio

from heykit.errors import FileError, FileTooLarge, HeykitError, NameRefused, Unavailable
from heykit.health import Health
from heykit.heygen.bell import QUEUE, Bell, Signal
from heykit.heygen.errors import RenderFailed
from heykit.heygen.queue import Claim, QueueCounts, RenderQueue
from heykit.heygen.renderer import Renderer
from heykit.resources.protocol import FileStore

__all__ = ["RenderWorker", "render_worker"]

_SHIELDED = 5.0  # seconds for what is done even when the worker is being closed
_HEALTH_LIMIT = 2.0  # seconds
_LONGEST_PAUSE = 10.0  # seconds between attempts at a database that is away

T = TypeVar("T")

_log = logging.getLogger("heykit.heygen")


class RenderWorker(Protocol):
    """A worker that is open."""

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int]:
        """Count the videos this worker rendered, the attempts that failed, and the jobs it lost or saw deleted."""
        ...


def render_worker(
    queue: RenderQueue,
    renderer: Renderer,
    files: FileStore,
    bell: Bell,
    *,
    at_once: int = 2,
    poll_interval: float = 1.0,
) -> AbstractAsyncContextManager[RenderWorker]:
    """Render what is in the queue, `at_once` videos at the same time, for as long as the block lasts.

    Jobs of this process start at once, those of others within `poll_interval` seconds. A database or a file store that
    is away is waited for. Raises ValueError for `at_once` below 1 or an interval that is not above 0.
    """
    if at_once < 1:
        raise ValueError(f"at_once must be 1 or more, not {at_once!r}")
    if not poll_interval > 0:
        raise ValueError(f"poll_interval must be more than 0 seconds, not {poll_interval!r}")
    return _opened(_RenderWorker(queue, renderer, files, bell, poll_interval), at_once)


@asynccontextmanager
async def _opened(worker: _RenderWorker, at_once: int) -> AsyncGenerator[RenderWorker]:
    # What the block raises leaves as it is: a task group would wrap it.
    failure: Exception | None = None
    async with anyio.create_task_group() as lanes:
        for _ in range(at_once):
            lanes.start_soon(worker.work)
        try:
            yield worker
        except Exception as error:  # noqa: BLE001
            failure = error
        lanes.cancel_scope.cancel()
    if failure is not None:
        raise failure


@dataclass(frozen=True)
class _Rendered:
    file: str
    size: int


@dataclass(frozen=True)
class _Failed:
    reason: str


@dataclass(frozen=True)
class _PutOff:
    reason: str


_Outcome: TypeAlias = _Rendered | _Failed | _PutOff


class _Meter:
    """The latest progress of one job; news that comes while older news is being written replaces it."""

    def __init__(self) -> None:
        self.percent = 0
        self._news = Signal()
        self._stopped = False

    def report(self, percent: int) -> None:
        if percent != self.percent:
            self.percent = percent
            self._news.give()

    def stop(self) -> None:
        self._stopped = True
        self._news.give()

    async def news(self, within: float) -> bool:
        """Wait for news, at most `within` seconds; False when there will be none any more."""
        await self._news.wait(within)
        return not self._stopped


class _RenderWorker:
    def __init__(
        self, queue: RenderQueue, renderer: Renderer, files: FileStore, bell: Bell, poll_interval: float
    ) -> None:
        self._queue = queue
        self._renderer = renderer
        self._files = files
        self._bell = bell
        self._poll_interval = poll_interval
        self._rendered = self._failed = self._lost = 0
        self._away = False

    async def health(self) -> Health:
        figures = self.stats()
        with anyio.move_on_after(_HEALTH_LIMIT):
            try:
                return Health("pass", "service", figures={**_figures(await self._queue.counts()), **figures})
            except HeykitError as error:
                return Health("warn", "service", f"the queue cannot be read, rendering waits: {error}", figures)
        return Health("warn", "service", f"the queue gave no answer within {_HEALTH_LIMIT:g} seconds", figures)

    def stats(self) -> Mapping[str, int]:
        return {"rendered": self._rendered, "failed": self._failed, "lost": self._lost}

    async def work(self) -> None:
        """Take one job after another until cancelled, whatever happens to any of them."""
        with self._bell.listening(QUEUE) as order:
            while True:
                try:
                    await self._next_job(order)
                except Exception:  # noqa: BLE001
                    _log.exception("the render worker leaves a job to its lease, and goes on")
                    await anyio.sleep(self._poll_interval)

    async def _next_job(self, order: Signal) -> None:
        claim = await self._insist(self._claim)
        if claim is None:
            await order.wait(self._poll_interval)
        else:
            await self._render(claim)

    async def _claim(self) -> Claim | None:
        # Shielded: a claim that takes effect while it is cancelled would be nobody's until its lease runs out.
        with anyio.move_on_after(_SHIELDED, shield=True):
            return await self._queue.claim()
        raise Unavailable("the queue gave no answer")

    async def _render(self, claim: Claim) -> None:
        try:
            outcome = await self._attempt(claim)
            if outcome is None or not await self._insist(lambda: self._settle(claim, outcome)):
                await self._forget(claim)
        except anyio.get_cancelled_exc_class():
            await self._release(claim)
            raise

    async def _attempt(self, claim: Claim) -> _Outcome | None:
        """Render, with the keeper beside it; `None` when the job is no longer ours."""
        outcome: _Outcome | None = None
        meter = _Meter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._keep, claim, meter, tasks.cancel_scope)
            outcome = await self._outcome(claim, meter)
            meter.stop()
        return outcome

    async def _keep(self, claim: Claim, meter: _Meter, rendering: anyio.CancelScope) -> None:
        # A third of the lease: one renewal may be late and the next still comes in time.
        while await meter.news(self._queue.limits.lease / 3):
            if not await self._insist(lambda: self._queue.progress(claim, meter.percent)):
                rendering.cancel()

    async def _outcome(self, claim: Claim, meter: _Meter) -> _Outcome:
        name = self._file_name(claim)
        try:
            async with self._renderer.render(claim.job, meter.report) as chunks:
                written = await self._files.put(name, chunks)
        except RenderFailed as error:
            return _Failed(str(error))
        except Exception as error:  # noqa: BLE001
            if _may_pass(error):
                _log.warning("video %s is put off: %s", claim.job.video_id, error)
                return _PutOff("something that rendering needs was away")
            _log.exception("video %s cannot be rendered", claim.job.video_id)
            return _Failed("The renderer could not make this video; the cause is in the service's log.")
        return _Rendered(written.name, written.size)

    async def _settle(self, claim: Claim, outcome: _Outcome) -> bool:
        """Write down how it ended; shielded, so that work which is finished is not done again."""
        with anyio.move_on_after(_SHIELDED, shield=True):
            settled = await self._written_down(claim, outcome)
            self._rendered += settled and isinstance(outcome, _Rendered)
            self._failed += settled and not isinstance(outcome, _Rendered)
            return settled
        raise Unavailable("the queue gave no answer")

    async def _written_down(self, claim: Claim, outcome: _Outcome) -> bool:
        match outcome:
            case _Rendered(file, size):
                return await self._queue.complete(claim, file, size)
            case _Failed(reason):
                return await self._queue.fail(claim, reason)
            case _PutOff(reason):
                return await self._queue.put_off(claim, reason)

    async def _forget(self, claim: Claim) -> None:
        """Leave a job that is no longer ours: of a video that was deleted, delete the file as well."""
        self._lost += 1
        if await self._insist(lambda: self._queue.is_gone(claim)):
            try:
                await self._files.delete(self._file_name(claim))
            except (HeykitError, OSError) as error:
                _log.warning("video %s is deleted, its file stays: %s", claim.job.video_id, error)

    async def _release(self, claim: Claim) -> None:
        with anyio.move_on_after(_SHIELDED, shield=True):
            try:
                if not await self._queue.release(claim):
                    await self._forget(claim)
            except HeykitError as error:
                _log.warning("video %s waits for its lease to run out: %s", claim.job.video_id, error)

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer, with longer and longer pauses while the queue is away; that is logged once."""
        for failures in count():
            try:
                answer = await call()
            except Unavailable as error:
                if not self._away:
                    _log.warning("rendering waits, the queue is away: %s", error)
                self._away = True
                await anyio.sleep(min(self._poll_interval * 2 ** min(failures, 10), _LONGEST_PAUSE))
            else:
                if self._away:
                    _log.info("the queue is back, rendering goes on")
                self._away = False
                return answer
        raise AssertionError("count() has no end")

    def _file_name(self, claim: Claim) -> str:
        # One name for all attempts at a video: a second one replaces what a first one left.
        return f"videos/{claim.job.video_id}{self._renderer.suffix}"


def _figures(counts: QueueCounts) -> Mapping[str, int]:
    return {"queued": counts.queued, "rendering": counts.rendering}


def _may_pass(error: Exception) -> bool:
    """True for what may be over at the next attempt: something away, a disk that is full."""
    return isinstance(error, Unavailable | OSError | FileError) and not isinstance(error, FileTooLarge | NameRefused)
