"""What can be asked of outside resources."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypedDict, TypeVar, Unpack, overload

from heykit._feeds import Invalidated, Lost, Resumed
from heykit.health import Health

T = TypeVar("T")
Path: TypeAlias = str | tuple[str, ...]
"""Below the base URL: a path, or its parts, each of which may hold anything."""
Query: TypeAlias = Mapping[str, str | float | bool | Sequence[str | float] | None]
"""Parameters; None leaves one out, and a sequence repeats it."""
Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Argument]


@dataclass(frozen=True)
class Message:
    """What was published on a channel; `pattern` is the one it was found by, where it was."""

    channel: str
    data: bytes
    pattern: str | None = None


class Redis(Protocol):
    """A Redis server. Replies are as it gives them: bytes, int, float, bool, None, lists and dicts of those.

    A command is repeated where it certainly was not sent, and one that the caller says is `idempotent` also where its
    reply was lost. `execute_many` sends several at once, with `atomic=True` as one transaction. `subscribe` and
    `invalidations` are connections of their own, which are opened again by themselves: `Lost` and `Resumed` tell when.

    Every method raises RedisError for a command that is refused, Unavailable when Redis is away or no connection is
    free in time, and TimedOut when a command that was sent was not answered in time, so that it may have taken effect.
    """

    async def execute(self, *command: Argument, idempotent: bool = False) -> object: ...
    async def execute_many(
        self, commands: Sequence[Command], /, *, atomic: bool = False, idempotent: bool = False
    ) -> list[object]: ...
    def subscribe(
        self, *channels: str, patterns: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[Message | Lost | Resumed]]: ...
    def invalidations(
        self, *prefixes: str
    ) -> AbstractAsyncContextManager[AsyncIterator[Invalidated | Lost | Resumed]]: ...
    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...


@dataclass(frozen=True)
class HttpResponse:
    """What an HTTP API answered: a status of success, headers with lower-case names, and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Download:
    """A body that is read as it comes. `size` is in bytes, None where the server does not say it."""

    status: int
    headers: Mapping[str, str]
    size: int | None
    chunks: AsyncIterator[bytes]


class Reading(TypedDict, total=False):
    """What a request may have that sends nothing."""

    query: Query | None
    headers: Mapping[str, str]


class Sending(Reading, total=False):
    """What a request may have: one of `json`, which is written as `into` is read, `form` and `content` is its body.

    An `idempotency_key` says that the API does the same request once, however often it comes with this key.
    """

    json: object
    form: Mapping[str, str]
    content: bytes | AsyncIterable[bytes]
    idempotency_key: str


class HttpApi(Protocol):
    """An HTTP API under one base URL.

    `into=` reads JSON into a type: a dataclass, a TypedDict, a pydantic model, or a list or dict of those. What may be
    repeated, is: requests of idempotent methods, and those with an idempotency key; but no async iterable.

    Every method raises HttpError for an answer of 3xx or 4xx and for one that cannot be used, HttpUnavailable for 5xx,
    408 and 429, Unavailable where the server is away, Overloaded where no connection is free in time, and TimedOut
    where it does not answer in time.
    """

    @overload
    async def request(self, method: str, path: Path, /, **options: Unpack[Sending]) -> HttpResponse: ...
    @overload
    async def request(self, method: str, path: Path, /, *, into: type[T], **options: Unpack[Sending]) -> T: ...
    @overload
    async def get(self, path: Path, /, **options: Unpack[Reading]) -> HttpResponse: ...
    @overload
    async def get(self, path: Path, /, *, into: type[T], **options: Unpack[Reading]) -> T: ...
    @overload
    async def post(self, path: Path, /, **options: Unpack[Sending]) -> HttpResponse: ...
    @overload
    async def post(self, path: Path, /, *, into: type[T], **options: Unpack[Sending]) -> T: ...
    def download(
        self, path: Path, /, *, max_bytes: int = 1024**3, timeout: float = 600.0, **options: Unpack[Reading]
    ) -> AbstractAsyncContextManager[Download]:
        """Give a body of up to `max_bytes` as it comes, read for at most `timeout` seconds."""

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...


@dataclass(frozen=True)
class FileInfo:
    """A stored file: its name in the store, its size in bytes, when it was last written (seconds since the epoch)."""

    name: str
    size: int
    modified: float


class FileStore(Protocol):
    """Files by name, on a disk or in an object store. A name is a relative path with `/`; none can leave the store.

    `put` writes a file whole or not at all; with `sha256` (hexadecimal) it raises ChecksumMismatch where something else
    has come. `open` gives the bytes from `start` up to but not with `end`, which may both lie beyond the file. `list`
    gives the files whose names begin with `prefix` and come after `after`, in the order of their UTF-8 bytes. `sweep`
    deletes the files that were last written more than `older_than` seconds ago, and tells how many.
    """

    async def put(
        self, name: str, content: bytes | AsyncIterable[bytes], /, *, sha256: str | None = None
    ) -> FileInfo: ...
    def open(
        self, name: str, /, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
    async def info(self, name: str, /) -> FileInfo | None: ...
    async def checksum(self, name: str, /) -> str: ...
    def list(self, prefix: str = "", /, *, after: str = "") -> AsyncIterator[FileInfo]: ...
    async def delete(self, name: str, /) -> bool: ...
    async def sweep(self, *, older_than: float, prefix: str = "") -> int: ...
    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...
