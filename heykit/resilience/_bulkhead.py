"""Never asking for more at once than it bears: who comes then waits, but not many, and not long."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import anyio

from heykit.errors import Overloaded
from heykit.resilience._names import name_of

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Bulkhead:
    """`at_once` calls run, `waiting` more wait in their order, for `wait` seconds at most; the rest is refused."""

    at_once: int
    waiting: int = 0
    wait: float = 1.0

    def __post_init__(self) -> None:
        if self.at_once < 1 or self.waiting < 0 or not self.wait > 0:
            raise ValueError("a Bulkhead lets 1 call or more run and 0 or more wait, for more than 0 s")


def bulkhead(policy: Bulkhead) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[object, object, T]]]:
    """Make a decorator that bounds how many calls of an async function run and wait.

    A call that finds no place, or none in time, raises `Overloaded`: 503 with `Retry-After` at the edge. The functions
    one decorator is put on share the places.
    """
    places = _Places(policy.at_once)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, object, T]]:
        name = name_of(function)

        @functools.wraps(function)
        async def bounded(*args: P.args, **kwargs: P.kwargs) -> T:
            if not places.taken() and not await _waited(places, policy):
                raise Overloaded(
                    f"{policy.at_once} calls of {name} run and others wait: try again later",
                    retry_after=policy.wait,
                    had_no_effect=True,
                )
            try:
                return await function(*args, **kwargs)
            finally:
                places.leave()

        return bounded

    return decorate


async def _waited(places: _Places, policy: Bulkhead) -> bool:
    if len(places.queue) >= policy.waiting:
        return False
    with anyio.move_on_after(policy.wait):
        await places.wait()
        return True
    return False


class _Places:
    """Places that are handed over in the order of asking."""

    def __init__(self, free: int) -> None:
        self._free = free
        self.queue: deque[anyio.Event] = deque()

    def taken(self) -> bool:
        """Take a place that is free; nobody waits then."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self) -> None:
        turn = anyio.Event()
        self.queue.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():  # it was handed over in the same moment
                self.leave()
            else:
                self.queue.remove(turn)
            raise

    def leave(self) -> None:
        """Hand the place to whoever has waited longest."""
        if self.queue:
            self.queue.popleft().set()
        else:
            self._free += 1
