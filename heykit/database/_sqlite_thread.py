"""The one thread that owns a SQLite connection, and the order in which statements reach it.

Theory of operation. On the event loop a job is made for each statement. A gate lets jobs through to the thread's queue
in the order they came; a job that takes the connection for a transaction closes the gate behind it until its hold is
released, so whoever comes later waits in turn. The thread does the jobs one by one and puts what came of them into
`replies`; it wakes the loop only if no wake is already under way, so a busy loop collects many replies at once.

A time limit or a cancellation withdraws a job. One that still waits never runs; the one that is running is interrupted.
Both look at `_running` under a lock, so an interrupt can never meet the next job.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from heykit.database._sqlite_group import MOST, Outcome, committed_together
from heykit.database._sqlite_text import is_busy, is_of_the_disk, translated
from heykit.errors import DatabaseError, HeykitError, TimedOut, Unavailable

_log = logging.getLogger("heykit.database")
_LOOK_UP_EVERY = 1.0  # seconds between two looks whether the process still has a main thread to work for


Opening = Callable[[Callable[[], bool]], sqlite3.Connection]  # is told how to ask whether it is still wanted


class Hold:
    """The right to be alone with the connection, from the job that takes it to the one that frees it."""

    def __init__(self) -> None:
        self.owner = asyncio.current_task()
        self.savepoints = 0
        self.over = False


@dataclass(slots=True, eq=False)
class Job:
    """One piece of work for the thread, and whoever waits for it."""

    work: Callable[[], object]
    answer: asyncio.Future[object]
    deadline: float
    takes: Hold | None = None
    frees: Hold | None = None
    at_once: bool = False  # does not wait at the gate, because it has a hold or needs none
    final: bool = False  # a commit or a roll-back: never withdrawn
    joins: bool = False  # may share a transaction with others of its kind
    beside: sqlite3.Connection | None = None  # what an interrupt stops, where it is not the main connection
    withdrawn: bool = False
    started: bool = False
    busy: bool = False  # another process holds the write lock, and nothing of the job has taken effect
    timer: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Counts:
    acquired: int = 0
    timed_out: int = 0
    waited: float = 0.0  # seconds, of all jobs for their turn


class SqliteThread:
    """Owns the connection that `opening` makes. Jobs come from the loop it was made on."""

    def __init__(
        self, opening: Opening, require_usable: Callable[[], None], time_limit: float, clock: Callable[[], float]
    ) -> None:
        self._opening = opening
        self._require_usable = require_usable  # before each job but those that must end a transaction
        self.disk_refused = False  # the last thing written, and nothing has been written since
        self.time_limit = time_limit
        self.clock = clock
        self.counts = _Counts()
        self.holder: Hold | None = None
        self.waiting: deque[Job] = deque()
        self.cursors: set[sqlite3.Cursor] = set()  # half-read; an interrupt is over only once none is
        self.beside: set[sqlite3.Connection] = set()
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[object] = self._loop.create_future()
        self._ended: asyncio.Future[object] = self._loop.create_future()
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._replies: deque[tuple[Job, object, HeykitError | None]] = deque()
        self._waking = False
        self._closed = False
        self._lock = threading.Lock()
        self._running: Job | None = None
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._serve, name="heykit-sqlite")
        self._thread.start()

    @property
    def connection(self) -> sqlite3.Connection:
        assert self._connection is not None, "a job runs only once the connection is open"
        return self._connection

    # On the loop.

    async def run(self, job: Job) -> object:
        """Let the job through the gate in its turn, and wait for what comes of it."""
        self._submit(job)
        try:
            return await job.answer
        finally:
            if job.timer is not None:
                job.timer.cancel()
            if job.answer.cancelled():
                self._withdraw(job)

    def job(
        self,
        work: Callable[[], object],
        *,
        takes: Hold | None = None,
        frees: Hold | None = None,
        at_once: bool = False,
        final: bool = False,
        joins: bool = False,
        beside: sqlite3.Connection | None = None,
    ) -> Job:
        deadline = self.clock() + self.time_limit
        return Job(work, self._loop.create_future(), deadline, takes, frees, at_once, final, joins, beside)

    def figures(self) -> dict[str, int | float]:
        in_use = int(self.holder is not None or self._running is not None)
        waiting = len(self.waiting) + self._queue.qsize()
        return {
            "in_use": in_use,
            "idle": 1 - in_use,
            "utilization": in_use,
            "waiting": waiting,
            "acquired": self.counts.acquired,
            "timed_out": self.counts.timed_out,
            "reconnects": 0,  # a file is always there, or the database is no longer the one that was opened
            "wait_seconds": self.counts.waited,
        }

    def release(self, hold: Hold) -> None:
        """End the hold and let through those who waited, up to the next one who takes the connection."""
        hold.over = True
        if self.holder is hold:
            self.holder = None
        while self.waiting and self.holder is None:
            self._pass(self.waiting.popleft())

    async def close(self, time_limit: float) -> None:
        """Interrupt what runs, refuse what waits, and join the thread, for at most `time_limit` seconds."""
        self._closed = True
        for job in self.waiting:
            _answer(job, error=DatabaseError("the database was closed"))
        self.waiting.clear()
        self._queue.put(None)
        with self._lock:
            if self._running is not None and not self._running.final:
                self._interrupt(self._running)
        await asyncio.wait([self._ended], timeout=time_limit)
        if self._ended.done():
            self._thread.join()
        else:
            _log.warning("the SQLite thread did not end within %g seconds", time_limit)

    def _submit(self, job: Job) -> None:
        if self._closed:
            raise DatabaseError("the database is closed")
        job.timer = self._loop.call_later(self.time_limit, self._time_out, job)
        if not job.at_once and (self.holder is not None or self.waiting):
            if self.holder is not None and self.holder.owner is asyncio.current_task():
                job.timer.cancel()
                raise DatabaseError("this task holds the database: inside the block ask its transaction or connection")
            self.waiting.append(job)
        else:
            self._pass(job)

    def _pass(self, job: Job) -> None:
        if not job.withdrawn:
            self.holder = job.takes or self.holder
            self._queue.put(job)

    def _time_out(self, job: Job) -> None:
        if job.answer.done():
            return
        self.counts.timed_out += 1
        self._withdraw(job)
        within = f"within {self.time_limit:g} seconds"
        if job.busy:
            error: HeykitError = Unavailable(
                f"another process was writing to the SQLite database and did not end {within}"
            )
        elif job.started:
            error = TimedOut(f"the statement did not end {within}")
        else:
            error = Unavailable(
                f"the SQLite database was held by others and not free {within}: keep transactions short"
            )
        _answer(job, error=error)

    def _withdraw(self, job: Job) -> None:
        if job.final:
            return
        with self._lock:
            job.withdrawn = True
            if self._running is job:
                self._interrupt(job)

    def _interrupt(self, job: Job) -> None:
        # SQLite, sqlite3_interrupt: without a running statement it "is a no-op and has no effect on SQL statements that
        # are started after the sqlite3_interrupt() call returns".
        job.withdrawn = True
        (job.beside or self.connection).interrupt()

    def _take_replies(self) -> None:
        self._waking = False  # first: a reply that comes from here on wakes the loop again
        while self._replies:
            job, result, error = self._replies.popleft()
            self.counts.acquired += job.started
            if job.frees is not None:
                self.release(job.frees)
            _answer(job, result, error)

    # In the thread.

    def _serve(self) -> None:
        try:
            self._connection = self._opening(lambda: not self._closed)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever opens the database
            self._tell(self.opened, error)
        else:
            self._tell(self.opened, None)
            self._work()
            for connection in (*self.beside, self._connection):
                connection.close()
        self._tell(self._ended, None)

    def _work(self) -> None:
        while threading.main_thread().is_alive():
            jobs = self._next_jobs()
            self._do_together([job for job in jobs if job is not None and job.joins])
            for job in jobs[-1:]:
                if job is None:
                    return
                if not job.joins:
                    self._do(job)

    def _next_jobs(self) -> list[Job | None]:
        """Take the next job; where it may share a transaction also those behind it, up to one that may not."""
        jobs: list[Job | None] = []
        with suppress(Empty):
            jobs.append(self._queue.get(timeout=_LOOK_UP_EVERY))
            while (last := jobs[-1]) is not None and last.joins and len(jobs) < MOST:
                jobs.append(self._queue.get_nowait())
        return jobs

    def _do_together(self, group: list[Job]) -> None:
        """Do writes that came while the thread was busy in one transaction; nobody hears of it before the commit."""
        outcomes: list[Outcome] | None = None
        if len(group) > 1 and not self.connection.in_transaction:
            writes = [partial(self._as_running, job) for job in group]
            outcomes = committed_together(self.connection, writes, self._require_usable, clock=self.clock)
            self._stop_running()
        if outcomes is None:
            for job in group:
                self._do(job)
        else:
            for job, (result, error) in zip(group, outcomes, strict=True):
                self._replies.append((job, result, None if error is None else translated(error)))
            self._wake()

    def _as_running(self, job: Job) -> object:
        if not self._begin(job):
            raise _not_run()
        return job.work()

    def _do(self, job: Job) -> None:
        result, error = self._outcome(job) if self._begin(job) else (None, _not_run())
        self._stop_running()
        if job.withdrawn and job.started and job.beside is None:
            while self.cursors:
                self.cursors.pop().close()
        self._replies.append((job, result, error))
        self._wake()

    def _begin(self, job: Job) -> bool:
        with self._lock:
            job.started = job.final or not (job.withdrawn or self._closed)
            self._running = job if job.started else None
        self.counts.waited += max(0.0, self.clock() - (job.deadline - self.time_limit))
        return job.started

    def _stop_running(self) -> None:
        with self._lock:
            self._running = None

    def _wake(self) -> None:
        if not self._waking:
            self._waking = True
            self._call(self._take_replies)

    def _outcome(self, job: Job) -> tuple[object, HeykitError | None]:
        # Outside a transaction a statement that found the database locked has done nothing.
        repeatable = not self.connection.in_transaction
        while True:
            try:
                if not job.final:
                    self._require_usable()
                return job.work(), None
            except Exception as error:  # noqa: BLE001 - the thread outlives whatever a statement raises
                self.disk_refused = self.disk_refused or is_of_the_disk(error)
                job.busy = repeatable and is_busy(error)
                if not job.busy or job.withdrawn or self.clock() >= job.deadline:
                    return None, translated(error)

    def _tell(self, future: asyncio.Future[object], error: Exception | None) -> None:
        def tell() -> None:
            if future.done():
                return
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        self._call(tell)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            self._queue.put(None)  # the loop is closed, and with it all who could wait for an answer


def _not_run() -> DatabaseError:
    return DatabaseError("the database was closed before the statement ran")


def _answer(job: Job, result: object = None, error: HeykitError | None = None) -> None:
    if job.answer.done():
        return
    if error is None:
        job.answer.set_result(result)
    else:
        job.answer.set_exception(error)
