"""What can be asked of outside resources."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from heykit.health import Health


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
