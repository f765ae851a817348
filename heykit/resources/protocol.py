"""What can be asked of outside resources."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from heykit._feeds import Lost, Resumed
from heykit.health import Health

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = Sequence[Argument]


@dataclass(frozen=True)
class Message:
    """What was published on a channel; `pattern` is the one it was found by, where it was."""

    channel: str
    data: bytes
    pattern: str | None = None


@dataclass(frozen=True)
class Invalidated:
    """Keys that have changed, expired or gone; None where that may be any."""

    keys: tuple[bytes, ...] | None


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
class FileInfo:
    """A stored file: its name in the store, its size in bytes, when it was last written (seconds since the epoch)."""

    name: str
    size: int
    modified: float


class FileStore(Protocol):
    """Files by name. A name is a relative path with `/`; none can leave the store."""

    async def put(self, name: str, content: bytes | AsyncIterable[bytes], /) -> FileInfo: ...
    def open(self, name: str, /) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
    async def info(self, name: str, /) -> FileInfo | None: ...
    async def delete(self, name: str, /) -> bool: ...
    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...
