"""Load while something goes wrong, and what came of it."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import anyio

FULL = os.environ.get("HEYKIT_CHAOS") == "full"
"""Whether faults last as long as the bars ask; else they are short, and what depends on the machine is not asked."""
WINDOW = 0.25  # seconds
BEFORE, AWAY, AFTER = (3.0, 4.0, 4.0) if FULL else (1.0, 1.0, 1.5)
FROZEN = 10.0 if FULL else 1.5
CANCELLED = 10_000 if FULL else 1_000


@dataclass(frozen=True)
class Call:
    """When it began and ended, in seconds of the monotonic clock, and how."""

    began: float
    ended: float
    error: Exception | None

    @property
    def took(self) -> float:
        return self.ended - self.began


@dataclass
class Load:
    """Calls made by many tasks, each a moment after its last one has ended.

    Without that moment both processors are busy with calling, and throughput says how busy they are: for a second after
    its restart PostgreSQL itself gives bare connections less than it did before.
    """

    call: Callable[[], Awaitable[object]]
    tasks: int = 50
    moment: float = 0.005  # seconds
    calls: list[Call] = field(default_factory=list)

    async def while_(self, events: Callable[[], Awaitable[None]]) -> None:
        """Keep calling until the events are over and every call has ended."""
        over = False

        async def work() -> None:
            while not over:
                await self._once()

        gc.disable()  # it would stop everybody for as long as it looks through the record of calls
        try:
            async with anyio.create_task_group() as tasks:
                for _ in range(self.tasks):
                    tasks.start_soon(work)
                await events()
                over = True
        finally:
            gc.enable()

    async def _once(self) -> None:
        began = time.monotonic()
        error: Exception | None = None
        try:
            await self.call()
        except Exception as raised:  # noqa: BLE001 - it is what is looked at
            error = raised
        self.calls.append(Call(began, time.monotonic(), error))
        await anyio.sleep(self.moment)

    @property
    def failed(self) -> list[Call]:
        return [call for call in self.calls if call.error is not None]

    @property
    def longest(self) -> float:
        return max(call.took for call in self.calls)

    def throughput(self, start: float) -> float:
        """Count the calls a second that ended well in the window from `start`."""
        return sum(call.error is None and start <= call.ended < start + WINDOW for call in self.calls) / WINDOW

    def usual(self, start: float, end: float) -> float:
        """Give the median throughput of the windows between two moments."""
        return statistics.median(self.throughput(at) for at in _windows(start, end))

    def seconds_to_recover(self, since: float, usual: float) -> float:
        """Say after how many seconds throughput was 90 % of the usual for a window."""
        for at in _windows(since, self.calls[-1].ended, WINDOW / 5):
            if self.throughput(at) >= 0.9 * usual:
                return at - since
        raise AssertionError("it never recovered")


def _windows(start: float, end: float, step: float = WINDOW) -> Sequence[float]:
    count = int((end - WINDOW - start) / step) + 1
    return [start + number * step for number in range(max(count, 1))]


class Breakable(Protocol):
    """A server of a test's own."""

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def freeze(self) -> None: ...
    def thaw(self) -> None: ...


class Times:
    """When the fault began and when it was over."""

    def __init__(self) -> None:
        self.began = self.broken = self.up = 0.0

    async def kill_and_restart(self, server: Breakable) -> None:
        self.began = time.monotonic()
        await anyio.sleep(BEFORE)
        self.broken = time.monotonic()
        await asyncio.to_thread(server.kill)
        await anyio.sleep(AWAY)
        await asyncio.to_thread(server.start)
        self.up = time.monotonic()
        await anyio.sleep(AFTER)

    async def freeze_and_thaw(self, server: Breakable) -> None:
        self.began = time.monotonic()
        await anyio.sleep(0.5)
        self.broken = time.monotonic()
        server.freeze()
        await anyio.sleep(FROZEN)
        server.thaw()
        self.up = time.monotonic()
        await anyio.sleep(1)


def require_recovery(load: Load, times: Times) -> None:
    if FULL:
        usual = load.usual(times.began + 0.5, times.broken)
        assert load.seconds_to_recover(times.up, usual) <= 0.5


async def cancelled_at_random(ask: Callable[[int], Awaitable[object]], *, longest: float) -> list[tuple[int, object]]:
    """Ask with many numbers, 50 at once, each cancelled at some moment before `longest` seconds; give wrong answers."""
    chance = random.Random(7)
    wrong: list[tuple[int, object]] = []
    limiter = anyio.CapacityLimiter(50)

    async def one(number: int) -> None:
        async with limiter:
            with anyio.move_on_after(chance.uniform(0, longest)):
                if (answer := await ask(number)) != number:
                    wrong.append((number, answer))

    async with anyio.create_task_group() as tasks:
        for number in range(CANCELLED):
            tasks.start_soon(one, number)
    return wrong
