"""The small world the tests play in: a clock to turn, entropy that counts, a file store in memory, free passwords."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from anyio.lowlevel import checkpoint

from heykit.database import Database
from heykit.errors import FileMissing
from heykit.health import Health
from heykit.heygen import Bell, RenderJob, Report, User, user_store, video_store
from heykit.heygen.videos import Videos
from heykit.resources.protocol import FileInfo, FileStore

START = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


class Clock:
    """A clock that stands still until it is turned."""

    def __init__(self, seconds: float = START) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds

    def turn(self, seconds: float) -> None:
        self.seconds += seconds


def counting() -> Callable[[int], bytes]:
    """Entropy that counts, so that no two draws are the same."""
    numbers = count(1)
    return lambda size: next(numbers).to_bytes(size, "big")


class PlainPasswords:
    """Passwords whose hash costs nothing."""

    async def hash(self, password: str, /) -> str:
        return f"hashed {password}"

    async def verify(self, password: str, hashed: str | None, /) -> bool:
        return hashed == f"hashed {password}"

    def is_outdated(self, hashed: str, /) -> bool:
        return False


@dataclass
class Shelf:
    """A file store in memory."""

    content: dict[str, bytes] = field(default_factory=dict)
    failure: Exception | None = None

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], /, *, sha256: str | None = None) -> FileInfo:
        whole = content if isinstance(content, bytes) else b"".join([chunk async for chunk in content])
        if self.failure is not None:
            raise self.failure
        self.content[name] = whole
        return FileInfo(name, len(whole), 0)

    @asynccontextmanager
    async def open(
        self, name: str, /, *, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        if name not in self.content:
            raise FileMissing("there is no such file")
        yield _once(self.content[name][start:end])

    async def info(self, name: str, /) -> FileInfo | None:
        return FileInfo(name, len(self.content[name]), 0) if name in self.content else None

    async def checksum(self, name: str, /) -> str:
        return hashlib.sha256(self.content[name]).hexdigest()

    async def list(self, prefix: str = "", /, *, after: str = "") -> AsyncGenerator[FileInfo]:
        for name in sorted(self.content):
            if name.startswith(prefix) and name > after:
                yield FileInfo(name, len(self.content[name]), 0)

    async def sweep(self, *, older_than: float, prefix: str = "") -> int:
        old = [name for name in self.content if name.startswith(prefix)]
        for name in old:
            del self.content[name]
        return len(old)

    async def delete(self, name: str, /) -> bool:
        if self.failure is not None:
            raise self.failure
        return self.content.pop(name, None) is not None

    async def health(self) -> Health:
        return Health("pass", "resource")

    def stats(self) -> Mapping[str, int | float]:
        return {"files": len(self.content)}


async def _once(content: bytes) -> AsyncGenerator[bytes]:
    yield content


class Echo:
    """A renderer that gives the script back."""

    suffix = ".txt"

    def __init__(self) -> None:
        self.rendered: list[str] = []

    @asynccontextmanager
    async def render(self, job: RenderJob, report: Report, /) -> AsyncGenerator[AsyncIterator[bytes]]:
        report(50)
        await checkpoint()
        self.rendered.append(job.video_id)
        yield _once(job.script.encode())


@dataclass
class World:
    """A database with our tables, and everything over it."""

    database: Database
    clock: Clock = field(default_factory=Clock)
    entropy: Callable[[int], bytes] = field(default_factory=counting)
    bell: Bell = field(default_factory=Bell)
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def videos(self) -> Videos:
        files: FileStore = self.shelf
        return video_store(self.database, files, self.bell, now=self.clock, entropy=self.entropy)

    async def user(self, name: str = "ada") -> User:
        users = user_store(self.database, PlainPasswords(), now=self.clock, entropy=self.entropy)
        return await users.register(name, "correct horse")

    async def order(self, user: User, title: str = "Hello") -> str:
        """Order a video, a second after the one before."""
        self.clock.turn(1)
        return (await self.videos.create(user, title=title, script="Hello, world.", avatar_id="amelia")).id
