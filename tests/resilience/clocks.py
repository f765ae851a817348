"""A clock that moves only when told to, and a sleep that moves it."""

from __future__ import annotations


class Clock:
    """Seconds; calling it reads it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
