"""Files under one directory: streamed in and out, replaced whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import time
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias, TypeVar, TypeVarTuple

from anyio import CapacityLimiter, move_on_after, sleep, to_thread

from heykit._background import beside
from heykit._finish import finish
from heykit.errors import FileError, FileTooLarge, HeykitError, NotOpen
from heykit.health import Health
from heykit.resources import disk
from heykit.resources.listing import walked
from heykit.resources.names import parts_of
from heykit.resources.protocol import FileInfo, FileStore

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Batch: TypeAlias = list[bytes]  # `list` is a method here

_MEBIBYTE = 1024 * 1024
_THREADS = 8
_BATCH = _MEBIBYTE // 2  # bytes gathered before a thread writes them: a hop costs about as much as writing 100 kB
_HEALTH_SECONDS = 2.0
_LOW_SPACE = 64 * _MEBIBYTE
_PAGE = 256  # files of a listing a thread hop
_SHORTEST_SWEEP, _LONGEST_SWEEP = 1.0, 600.0  # seconds between two

logger: Final = logging.getLogger("heykit.resources")


def file_store(
    root: str | Path,
    *,
    max_bytes: int = 1024 * _MEBIBYTE,
    max_age: float = math.inf,
    now: Callable[[], float] = time.time,
) -> AbstractAsyncContextManager[FileStore]:
    """Open a store of files of up to `max_bytes` each under the directory `root`, which is made where it is missing.

    - `put` writes beside the file and renames it into place once it is on the disk: a failed or cancelled one leaves
      the old content as it was and nothing behind; what a crash leaves is swept at the next opening. Cancelled from
      outside during the renaming itself, it may have taken effect.
    - `open` streams chunks of up to 64 KiB; a file replaced or deleted meanwhile is read to its old end.
    - A file is gone `max_age` seconds after it was written; such files are deleted now and then.
    - `list` reads a directory at a time, and holds its names in memory.
    - Several processes may open one root. Symbolic links under it are not followed.

    Raises Unavailable where the root cannot be made or written, now or later, NameRefused for a name that could leave
    it or does not fit it, FileMissing, FileTooLarge, ChecksumMismatch, and FileError for what else the disk refuses.
    """
    if max_bytes < 1:
        raise ValueError(f"max_bytes must be 1 or more, not {max_bytes!r}")
    if not max_age > 0:
        raise ValueError(f"max_age must be above 0 seconds, not {max_age!r}")
    return _opened(_FileStore(Path(root).absolute(), max_bytes, max_age, now))


@asynccontextmanager
async def _opened(store: _FileStore) -> AsyncGenerator[FileStore]:
    await store.prepare()
    try:
        async with beside(*([] if math.isinf(store.max_age) else [store.keep_sweeping])):
            yield store
    finally:
        store.close()


class _FileStore:
    def __init__(self, root: Path, max_bytes: int, max_age: float, now: Callable[[], float]) -> None:
        self.max_age = max_age
        self._root = root
        self._max_bytes = max_bytes
        self._now = now
        # Threads of its own: a slow disk does not take them from what else runs in threads, nor the other way round.
        self._threads = CapacityLimiter(_THREADS)
        self._probes = CapacityLimiter(1)
        self._probing = Lock()
        self._closed = False
        self._written = self._read = self._deleted = self._bytes_written = self._bytes_read = 0
        self._acquired = self._timed_out = 0
        self._waited = 0.0

    async def prepare(self) -> None:
        await self._run(disk.prepare, self._root)

    async def keep_sweeping(self) -> None:
        while True:
            try:
                await self.sweep(older_than=self.max_age)
            except Exception as error:  # noqa: BLE001 - whatever it is, the next time may be better
                said = error if isinstance(error, HeykitError) else type(error).__name__
                logger.warning("what is too old could not be deleted: %s", said)
            await sleep(min(max(self.max_age / 2, _SHORTEST_SWEEP), _LONGEST_SWEEP))

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], /, *, sha256: str | None = None) -> FileInfo:
        parts = self._parts(name)
        partial = disk.Partial(self._root, None if sha256 is None else sha256.lower())
        try:
            await self._run(partial.begin)
            await self._fill(partial, content)
            written = await self._run(partial.commit, parts)
        except BaseException:
            await finish(self._run(partial.discard))
            raise
        self._written += 1
        self._bytes_written += written.size
        return written

    @asynccontextmanager
    async def open(
        self, name: str, /, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"a range begins at 0 or later and ends where it begins or later, not {start} to {end}")
        reader = disk.Reader(self._root, self._parts(name), start=start, end=end, oldest=self._oldest)
        chunks = _Chunks(lambda: self._next(reader))
        try:
            await self._run(reader.begin)
            self._read += 1
            yield chunks
        finally:
            chunks.close()
            await finish(self._run(reader.close))

    async def info(self, name: str, /) -> FileInfo | None:
        return await self._run(disk.info, self._root, self._parts(name), self._oldest)

    async def checksum(self, name: str, /) -> str:
        reader = disk.Reader(self._root, self._parts(name), oldest=self._oldest)
        found = hashlib.sha256()
        try:
            await self._run(reader.begin)
            while await self._run(reader.add_to, found):
                continue
        finally:
            await finish(self._run(reader.close))
        return found.hexdigest()

    async def list(self, prefix: str = "", /, *, after: str = "") -> AsyncGenerator[FileInfo]:
        self._check_open()
        files = walked(self._root, prefix, after, self._oldest)
        while page := await self._run(_next_page, files):
            for file in page:
                self._check_open()
                yield file

    async def delete(self, name: str, /) -> bool:
        parts = self._parts(name)
        deleted = await self._run(disk.delete, self._root, parts, self._oldest)
        self._deleted += deleted
        return deleted

    async def sweep(self, *, older_than: float, prefix: str = "") -> int:
        self._check_open()
        if not older_than >= 0:
            raise ValueError(f"older_than must be 0 seconds or more, not {older_than!r}")
        newest = self._now() - older_than
        swept = 0
        files = walked(self._root, prefix, "", -math.inf, unreadable=_tell_unreadable)
        while page := await self._run(_next_page, files):
            for file in page:
                if file.modified < newest:
                    swept += await self._run(disk.delete, self._root, parts_of(file.name), -math.inf, newest)
        self._deleted += swept
        return swept

    async def health(self) -> Health:
        free: int | None = None
        reason = f"the disk did not answer within {_HEALTH_SECONDS:g} seconds"
        try:
            with move_on_after(_HEALTH_SECONDS):
                free = await to_thread.run_sync(self._probe, abandon_on_cancel=True, limiter=self._probes)
        except (OSError, HeykitError) as error:
            reason = f"nothing can be written: {error}"
        if self._closed:
            return Health("fail", "resource", "the file store is closed", self.stats())
        if free is None:
            self._timed_out += 1
            return Health("fail", "resource", reason, self.stats())
        figures = {**self.stats(), "bytes_free": free}
        if free < _LOW_SPACE:
            return Health("warn", "resource", "little space is left; delete files or enlarge the disk", figures)
        return Health("pass", "resource", figures=figures)

    def stats(self) -> Mapping[str, int | float]:
        busy = self._threads.statistics()
        return {
            "max_connections": _THREADS,
            "in_use": busy.borrowed_tokens,
            "idle": _THREADS - busy.borrowed_tokens,
            "utilization": busy.borrowed_tokens / _THREADS,
            "waiting": busy.tasks_waiting,
            "acquired": self._acquired,
            "timed_out": self._timed_out,
            "reconnects": 0,
            "wait_seconds": self._waited,
            "files_written": self._written,
            "files_read": self._read,
            "files_deleted": self._deleted,
            "bytes_written": self._bytes_written,
            "bytes_read": self._bytes_read,
        }

    def close(self) -> None:
        self._closed = True

    @property
    def _oldest(self) -> float:
        """The moment before which a file that was written then is gone."""
        return self._now() - self.max_age

    def _check_open(self) -> None:
        if self._closed:
            raise NotOpen("this file store is closed; use it inside the `async with file_store(...)` that opened it")

    def _parts(self, name: str) -> tuple[str, ...]:
        self._check_open()
        return parts_of(name)

    async def _fill(self, partial: disk.Partial, content: bytes | AsyncIterable[bytes]) -> None:
        if isinstance(content, bytes):
            self._check_size(len(content))
            await self._run(partial.write, [content])
            return
        batch: _Batch = []
        total = held = 0
        async for chunk in content:
            total += len(chunk)
            held += len(chunk)
            self._check_size(total)
            batch.append(chunk)
            if held >= _BATCH:
                await self._run(partial.write, batch)
                batch, held = [], 0
        await self._run(partial.write, batch)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise FileTooLarge(f"a file of this store holds at most {self._max_bytes} bytes; send less")

    async def _next(self, reader: disk.Reader) -> Sequence[bytes]:
        chunks = await self._run(reader.read)
        self._bytes_read += sum(map(len, chunks))
        return chunks

    def _probe(self) -> int:
        # A probe that hangs is waited for by the next ones, so that they do not hang, thread after thread, as well.
        if not self._probing.acquire(timeout=_HEALTH_SECONDS):
            raise TimeoutError(errno.ETIMEDOUT, "an earlier check has not come back yet")
        try:
            return disk.probe(self._root)
        finally:
            self._probing.release()

    async def _run(self, work: Callable[[*Ts], T], *args: *Ts) -> T:
        asked = begun = time.perf_counter()

        def run() -> T:
            nonlocal begun
            begun = time.perf_counter()
            return work(*args)

        try:
            return await to_thread.run_sync(run, limiter=self._threads)
        except OSError as error:
            raise _refused(error) from error
        finally:
            self._acquired += 1
            self._waited += begun - asked


def _next_page(files: Iterator[FileInfo]) -> Sequence[FileInfo]:
    return [*islice(files, _PAGE)]


def _tell_unreadable(error: OSError) -> None:
    logger.warning("a directory of the store cannot be read, so nothing in it is deleted (%s)", error.strerror)


def _refused(error: OSError) -> FileError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return FileError(f"no room for the file ({error.strerror}): delete files, or enlarge the disk or the quota")
    return FileError(f"the disk refused ({error.strerror}): see to the store's directory and its permissions")


class _Chunks:
    """A file's content, fetched from the disk some chunks ahead."""

    def __init__(self, fetch: Callable[[], Awaitable[Sequence[bytes]]]) -> None:
        self._fetch = fetch
        self._ahead: deque[bytes] = deque()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise NotOpen("this file is closed; read it inside the `async with store.open(...)` that opened it")
        if not self._ahead:
            self._ahead.extend(await self._fetch())
        if not self._ahead:
            raise StopAsyncIteration
        return self._ahead.popleft()

    def close(self) -> None:
        self._closed = True
        self._ahead.clear()
