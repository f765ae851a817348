"""One load a key at a time, however many ask; no caller's cancellation ends it for the others.

A flight is a task of its own: not the first caller's, whose cancellation and context variables it would inherit. It
runs to its end although all who asked have left: were it cancelled with them, a load slower than its callers'
patience would never get anywhere, each new caller starting it once more. So a load needs a time limit of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Generic, TypeVar

from heykit.errors import Unavailable

V = TypeVar("V")

_log = logging.getLogger(__name__)


class Flight(Generic[V]):
    """A load under way, how many wait for it, and whether what it brings may still be kept."""

    __slots__ = ("dropped", "task", "waiting")

    task: asyncio.Task[V]

    def __init__(self) -> None:
        self.waiting = 0
        self.dropped = False

    def failed(self) -> bool:
        return self.task.done() and (self.task.cancelled() or self.task.exception() is not None)


class Flights(Generic[V]):
    """The loads under way by key; `landed` counts those that are over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._by_key: dict[str, Flight[V]] = {}
        self._aloft: set[Flight[V]] = set()  # a loop holds its tasks only weakly
        self.landed = 0

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    async def join(self, key: str, load: Callable[[Flight[V]], Coroutine[object, object, V]]) -> V:
        """Wait for the flight of this key, and start it where there is none."""
        flight = self._by_key.get(key)
        if flight is None or flight.failed():
            flight = self._start(key, load)
        flight.waiting += 1
        try:
            # Unlike awaiting the task, this passes a waiter's cancellation on to nobody.
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
        if flight.task.cancelled():
            raise Unavailable(f"the load of {self._name} was cancelled before it had a value; ask again")
        return flight.task.result()

    def drop(self, key: str) -> None:
        """Let the flight of this key go on for those who wait, and nobody join it or keep what it brings."""
        flight = self._by_key.pop(key, None)
        if flight is not None:
            flight.dropped = True

    def _start(self, key: str, load: Callable[[Flight[V]], Coroutine[object, object, V]]) -> Flight[V]:
        flight: Flight[V] = Flight()
        self._by_key[key] = flight
        self._aloft.add(flight)
        flight.task = asyncio.get_running_loop().create_task(load(flight), context=Context())
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    def _land(self, key: str, flight: Flight[V]) -> None:
        self.landed += 1
        self._aloft.discard(flight)
        if self._by_key.get(key) is flight:
            del self._by_key[key]
        # Asking for the exception also keeps asyncio from reporting it as never retrieved.
        error = None if flight.task.cancelled() else flight.task.exception()
        if error is not None and not flight.waiting:
            _log.warning("a load of %s failed when nobody waited for it any more", self._name, exc_info=error)
