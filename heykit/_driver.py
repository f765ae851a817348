"""What a pool must know of one kind of server, and of its connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from heykit.errors import HeykitError


class Pooled(Protocol):
    """A connection as a driver gives it."""

    def is_closed(self) -> bool: ...
    def terminate(self) -> None: ...
    async def close(self, *, timeout: float) -> None: ...


C = TypeVar("C", bound=Pooled)


@dataclass(frozen=True)
class Driver(Generic[C]):
    """What a pool must know of one kind of server. `ask` and `clean` are given a time limit in seconds."""

    server: str  # as a message calls it
    connect: Callable[[], Awaitable[C]]
    refused: Callable[[Exception], HeykitError]  # why one could not be opened, in heykit's words
    ask: Callable[[C, float], Awaitable[object]]  # whether it still answers
    closed: Callable[[str], HeykitError]  # for who asks a pool that is closed
    clean: Callable[[C, float], Awaitable[object]] | None = None  # of what a user may have left in it
