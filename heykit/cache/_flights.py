"""One load a key at a time, however many ask; no caller's cancellation ends it for the others.

A flight is a task of its own: not the first caller's, whose cancellation and context variables it would inherit. It
runs to its end although all who asked have left: were it cancelled with them, a load slower than its callers'
patience would never get anywhere, each new caller starting it once more. So a load needs a time limit of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from copy import copy
from typing import Generic, TypeVar

from heykit.cache._tokens import Ticket
from heykit.errors import Unavailable

V = TypeVar("V")

_log = logging.getLogger("heykit.cache")


# The loads that this code is a part of. It is all that a load's context takes over.
_above: ContextVar[frozenset[object]] = ContextVar("_above", default=frozenset())


class Flight(Generic[V]):
    """A load under way, how many wait for it, and the ticket that says whether what it brings may be kept."""

    __slots__ = ("task", "ticket", "waiting")

    task: asyncio.Task[V]

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.waiting = 0

    @property
    def is_joined(self) -> bool:
        """Tell whether one who asks now may be given what it brings."""
        if self.ticket.dropped:
            return False
        return not self.task.done() or not (self.task.cancelled() or self.task.exception() is not None)


class Flights(Generic[V]):
    """The loads under way by key."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._by_key: dict[str, Flight[V]] = {}
        self._aloft: set[Flight[V]] = set()  # a loop holds its tasks only weakly

    def under_way(self, key: str) -> Flight[V] | None:
        """Give the flight of this key that one who asks now may join."""
        flight = self._by_key.get(key)
        return flight if flight is not None and flight.is_joined else None

    def start(self, key: str, ticket: Ticket, load: Callable[[Ticket], Coroutine[object, object, V]]) -> Flight[V]:
        """Begin a flight, in the place of one that nobody may join any more."""
        flight: Flight[V] = Flight(ticket)
        self._by_key[key] = flight
        self._aloft.add(flight)
        context = Context()
        context.run(_above.set, _above.get() | {flight})
        flight.task = asyncio.get_running_loop().create_task(load(ticket), context=context)
        flight.task.add_done_callback(lambda _: self._land(key, flight))
        return flight

    async def arrival(self, flight: Flight[V]) -> V:
        """Wait for what a flight brings. Raises RuntimeError in a load that would wait for itself."""
        if flight in _above.get():
            raise RuntimeError(f"the load of {self._name} asks for the very value that it is to bring")
        flight.waiting += 1
        try:
            # Unlike awaiting the task, this passes a waiter's cancellation on to nobody.
            await asyncio.wait((flight.task,))
        finally:
            flight.waiting -= 1
        if flight.task.cancelled():
            raise Unavailable(f"the load of {self._name} was cancelled before it had a value; ask again")
        error = flight.task.exception()
        if error is not None:
            raise _own(error)
        return flight.task.result()

    def _land(self, key: str, flight: Flight[V]) -> None:
        self._aloft.discard(flight)
        if self._by_key.get(key) is flight:
            del self._by_key[key]
        # Asking for the exception also keeps asyncio from reporting it as never retrieved.
        error = None if flight.task.cancelled() else flight.task.exception()
        if error is not None and not flight.waiting:
            _log.warning("a load of %s failed when nobody waited for it", self._name, exc_info=error)


def _own(error: BaseException) -> BaseException:
    """Give each who waits an error of their own, for what they were handling becomes a part of it (`__context__`)."""
    try:
        made = copy(error)
    except Exception:  # noqa: BLE001 - one that cannot be copied is the same for all
        return error
    if type(made) is not type(error):
        return error
    made.__cause__, made.__suppress_context__ = error.__cause__, error.__suppress_context__
    return made.with_traceback(error.__traceback__)
