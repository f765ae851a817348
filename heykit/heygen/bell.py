"""Tells those who wait in this process that something has changed, so that they need not wait for their next poll."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import anyio

__all__ = ["QUEUE", "Bell", "Signal"]

QUEUE = "queue"
"""Rung when there is something to render; every video's own identifier is rung when that video changes."""


class Signal:
    """Something to wait for again and again; given several times between two waits, it counts once."""

    def __init__(self) -> None:
        self._given = anyio.Event()

    def give(self) -> None:
        self._given.set()

    async def wait(self, within: float) -> bool:
        """Wait until it has been given since the last wait, at most `within` seconds; False if it was not."""
        if not self._given.is_set():
            with anyio.move_on_after(within):
                await self._given.wait()
        given = self._given.is_set()
        self._given = anyio.Event()
        return given


class Bell:
    """Rings by name. It belongs to one event loop, and keeps nothing of a name that nobody listens to.

    Listen first, look second, wait third: then no change between looking and waiting is missed.
    """

    def __init__(self) -> None:
        self._listening: dict[str, set[Signal]] = {}

    def ring(self, name: str) -> None:
        """Give the signal to all who listen to this name."""
        for signal in self._listening.get(name, ()):
            signal.give()

    @contextmanager
    def listening(self, name: str) -> Generator[Signal]:
        """Listen to a name for as long as the block lasts."""
        signal = Signal()
        self._listening.setdefault(name, set()).add(signal)
        try:
            yield signal
        finally:
            self._listening[name].discard(signal)
            if not self._listening[name]:
                del self._listening[name]

    def listeners(self) -> int:
        """Count those who listen to any name."""
        return sum(map(len, self._listening.values()))
