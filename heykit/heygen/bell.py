"""Tells those who wait that something has changed, so that they need not wait for their next poll."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

import anyio

from heykit.health import Health

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

    Listen first, look second, wait third: then no change between looking and waiting is missed. What is rung is also
    told to `tell`, which may carry it to other processes; `carrier` says how well that is.
    """

    def __init__(
        self, tell: Callable[[str], None] | None = None, carrier: Callable[[], Awaitable[Health]] | None = None
    ) -> None:
        self._tell = tell
        self._carrier = carrier
        self._listening: dict[str, set[Signal]] = {}

    def ring(self, name: str) -> None:
        """Give the signal to all who listen to this name."""
        self.ring_here(name)
        if self._tell is not None:
            self._tell(name)

    def ring_here(self, name: str) -> None:
        """Give the signal to those of this process alone."""
        for signal in self._listening.get(name, ()):
            signal.give()

    def ring_all_here(self) -> None:
        """Give every signal of this process: anything may have changed."""
        for name in [*self._listening]:
            self.ring_here(name)

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

    async def health(self) -> Health:
        """Warn while what is rung is heard in this process alone, though others should hear it."""
        if self._carrier is None:
            return Health("pass", "service")
        carrier = await self._carrier()
        return replace(carrier, kind="service", status="pass" if carrier.status == "pass" else "warn")

    def listeners(self) -> int:
        """Count those who listen to any name."""
        return sum(map(len, self._listening.values()))
