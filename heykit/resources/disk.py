"""The blocking half of the file store: what happens on the disk, each call in a worker thread (POSIX only).

A file is written in `.partial` beside the tree, brought to the disk, and only then renamed into place: a reader sees
the old content or the new, whole. Each directory of a name is opened from the one above it without following symbolic
links, so that what stands on the disk cannot lead out of the root either, not even while it changes.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import math
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

from heykit.errors import ChecksumMismatch, FileError, FileMissing, NameRefused, Unavailable
from heykit.resources.protocol import FileInfo

CHUNK = 64 * 1024
_BATCH = 8  # chunks: half a megabyte a thread hop

_TRIES = 10

_PARTIAL = ".partial"
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe that someone put into the tree waits for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Nothing there; a file where a directory should be; a symbolic link, which is not followed; a socket.
ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})
_UNFIT = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ})


def prepare(root: Path) -> None:
    """Make the root where it is missing, see that it can be written, and sweep what a crash left half written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe(root)
        _sweep(root)
    except (OSError, FileError) as error:
        raise Unavailable(
            f"{root} cannot hold files ({error}): make it a directory that this user may write, or name another"
        ) from error


def probe(root: Path) -> int:
    """Create and remove an empty file; give the bytes that are free."""
    partial = Partial(root)
    try:
        partial.begin()
    finally:
        partial.discard()
    space = os.statvfs(root)
    return space.f_bavail * space.f_frsize


def info(root: Path, parts: Sequence[str], oldest: float = -math.inf) -> FileInfo | None:
    """Describe a file, unless it was written before `oldest` (seconds since the epoch)."""
    try:
        with parent_of(root, parts) as parent:
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        if error.errno in ABSENT:
            return None
        raise
    return described(parts, found) if stat.S_ISREG(found.st_mode) and found.st_mtime >= oldest else None


def delete(root: Path, parts: Sequence[str], oldest: float = -math.inf, newest: float = math.inf) -> bool:
    """Delete a file for good, and the directories that it leaves empty; but not one written after `newest`.

    Tells whether there was one; what was written before `oldest` was none.
    """
    try:
        with parent_of(root, parts) as parent, _locked(parent):
            found = os.stat(parts[-1], dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISREG(found.st_mode) or found.st_mtime > newest:
                return False
            os.unlink(parts[-1], dir_fd=parent)
            os.fsync(parent)
    except OSError as error:
        if error.errno in ABSENT:
            return False
        raise
    with suppress(OSError):  # the first that is not empty ends it
        for depth in range(len(parts) - 1, 0, -1):
            with parent_of(root, parts[:depth]) as parent:
                os.rmdir(parts[depth - 1], dir_fd=parent)
    return found.st_mtime >= oldest


class Partial:
    """A file being written. A caller cancelled from outside leaves its thread at work: discarding waits for it."""

    def __init__(self, root: Path, sha256: str | None = None) -> None:
        self._root = root
        self._sum = None if sha256 is None else hashlib.sha256()
        self._announced = sha256
        self._name = secrets.token_hex(8)
        self._lock = Lock()
        self._over = False
        self._folder = self._file = -1

    def begin(self) -> None:
        with self._lock:
            self._check()
            with _opened(self._root) as root:
                self._folder = _step(root, _PARTIAL, create=True)
            for _ in range(_TRIES):
                self._file = os.open(self._name, _CREATE, 0o666, dir_fd=self._folder)
                # Held while the file is written, so that another process that opens the store does not sweep it.
                fcntl.flock(self._file, fcntl.LOCK_EX)
                if os.fstat(self._file).st_nlink:
                    return
                os.close(self._file)  # swept between the two lines above
                self._file = -1
            raise FileError("something takes new files away as soon as they are made; keep it from the store's root")

    def write(self, chunks: Sequence[bytes]) -> None:
        with self._lock:
            self._check()
            for chunk in chunks:
                if self._sum is not None:
                    self._sum.update(chunk)
                rest = memoryview(chunk)
                while rest:
                    rest = rest[os.write(self._file, rest) :]

    def commit(self, parts: Sequence[str]) -> FileInfo:
        """Bring the content to the disk, then into place under its name, for good."""
        with self._lock:
            self._check()
            if self._sum is not None and self._sum.hexdigest() != self._announced:
                raise ChecksumMismatch(f"what came for {'/'.join(parts)!r} is not what was announced: send it again")
            os.utime(self._file)  # it is written now, however long ago its last bytes came
            os.fsync(self._file)
            written = described(parts, os.fstat(self._file))
            try:
                self._move(parts)
            except OSError as error:
                if error.errno in _UNFIT:
                    raise _unfit(parts, error) from error
                raise
            self._close()
            return written

    def discard(self) -> None:
        with self._lock:
            if self._folder >= 0:
                with suppress(FileNotFoundError):
                    os.unlink(self._name, dir_fd=self._folder)
            self._close()

    def _move(self, parts: Sequence[str]) -> None:
        for _ in range(_TRIES):
            # Not found: a delete has just taken away a directory that was empty until now.
            with suppress(FileNotFoundError), parent_of(self._root, parts, create=True) as parent:
                with _locked(parent):  # else one that is deleted for its age could be this one by then
                    os.replace(self._name, parts[-1], src_dir_fd=self._folder, dst_dir_fd=parent)
                os.fsync(parent)
                return
        raise FileError(f"{'/'.join(parts)!r} could not be put into place: its directory is taken away all the time")

    def _check(self) -> None:
        if self._over:
            raise FileError("this write was given up")

    def _close(self) -> None:
        self._over = True
        for number in (self._file, self._folder):
            if number >= 0:
                os.close(number)
        self._file = self._folder = -1


class Reader:
    """A file being read, from `start` up to but not with `end`.

    It stays what it was when it was opened, whatever replaces it meanwhile.
    """

    def __init__(
        self,
        root: Path,
        parts: Sequence[str],
        *,
        start: int = 0,
        end: int | None = None,
        oldest: float = -math.inf,
    ) -> None:
        self._root = root
        self._parts = parts
        self._start = start
        self._left = math.inf if end is None else max(0, end - start)
        self._oldest = oldest
        self._lock = Lock()
        self._over = False
        self._file = -1

    def begin(self) -> None:
        with self._lock:
            if self._over:
                return
            try:
                with parent_of(self._root, self._parts) as parent:
                    self._file = os.open(self._parts[-1], _READ, dir_fd=parent)
            except OSError as error:
                if error.errno in ABSENT:
                    raise self._missing() from None
                raise
            found = os.fstat(self._file)
            if not stat.S_ISREG(found.st_mode) or found.st_mtime < self._oldest:
                raise self._missing()
            os.lseek(self._file, min(self._start, found.st_size), os.SEEK_SET)

    def read(self) -> list[bytes]:
        """Give the next chunks; fewer than before, or none, at the end."""
        with self._lock:
            chunks: list[bytes] = []
            while not self._over and len(chunks) < _BATCH:
                chunk = os.read(self._file, int(min(CHUNK, self._left)))
                if not chunk:
                    break
                self._left -= len(chunk)
                chunks.append(chunk)
            return chunks

    def add_to(self, found: hashlib._Hash) -> bool:
        """Add the next chunks to a checksum; tell whether there were any."""
        chunks = self.read()
        for chunk in chunks:
            found.update(chunk)
        return bool(chunks)

    def close(self) -> None:
        with self._lock:
            self._over = True
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def _missing(self) -> FileMissing:
        return FileMissing(f"the store has no file {'/'.join(self._parts)!r}")


@contextmanager
def _opened(root: Path) -> Generator[int]:
    try:
        number = os.open(root, DIRECTORY)
    except OSError as error:
        raise Unavailable(f"{root} is away ({error.strerror}): bring the directory back") from error
    try:
        yield number
    finally:
        os.close(number)


@contextmanager
def parent_of(root: Path, parts: Sequence[str], *, create: bool = False) -> Generator[int]:
    """Open the directory that the last part lies in."""
    with _opened(root) as above:
        here = os.dup(above)
        try:
            for part in parts[:-1]:
                below = _step(here, part, create=create)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)


@contextmanager
def _locked(folder: int) -> Generator[None]:
    """Keep everybody who asks for the same, also in other processes, from changing a directory."""
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def _step(here: int, part: str, *, create: bool) -> int:
    try:
        return os.open(part, DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):
        os.mkdir(part, dir_fd=here)
        os.fsync(here)
    return os.open(part, DIRECTORY | os.O_NOFOLLOW, dir_fd=here)


def _sweep(root: Path) -> None:
    with parent_of(root, (_PARTIAL, "")) as folder, os.scandir(folder) as leftovers:
        for leftover in leftovers:
            with suppress(OSError):  # another process still writes it, or has swept it
                _sweep_one(folder, leftover.name)


def _sweep_one(folder: int, name: str) -> None:
    number = os.open(name, _READ, dir_fd=folder)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)
    finally:
        os.close(number)


def described(parts: Sequence[str], found: os.stat_result) -> FileInfo:
    return FileInfo("/".join(parts), found.st_size, found.st_mtime)


def _unfit(parts: Sequence[str], error: OSError) -> NameRefused:
    return NameRefused(
        f"{'/'.join(parts)!r} does not fit the store ({error.strerror}): a file, a directory or a link stands in its "
        "way, or the disk does not take such a name; choose another"
    )
