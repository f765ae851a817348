"""One life of one long-lived thing: opened, held and closed by the task that calls `live`.

Cancel scopes and task groups must be left in the task that entered them, so nobody else may close what a task opened.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import anyio

Own: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
Spawn: TypeAlias = Callable[[Own], None]
Enter: TypeAlias = Callable[[AsyncExitStack], Awaitable[object]]
Ended: TypeAlias = Literal["not opened", "given up", "failed", "not closed", "closed"]


@dataclass(frozen=True)
class End:
    """How a life ended, and of what."""

    how: Ended
    error: BaseException | None = None


_TIMEOUT: Final = "its provider's timeout="


@dataclass(frozen=True)
class Limits:
    """Seconds that opening and closing may take, and the setting to name where they are not enough."""

    opening: float
    closing: float
    named: float
    setting: str = _TIMEOUT  # what sets the limit of the opening

    def too_long(self, doing: str) -> TimeoutError:
        if doing == "close":
            return TimeoutError(f"it took more than {self.closing:g} s to close; {_TIMEOUT} sets the limit")
        return TimeoutError(f"it took more than {self.named:g} s to {doing}; {self.setting} sets the limit")


class Life:
    """What others may do to a life: abandon its opening, or ask it to end."""

    def __init__(self) -> None:
        self._opening = anyio.CancelScope()
        self._stop = anyio.Event()
        self._abandoned = False
        self._entered = False

    def abandon(self) -> None:
        """Give up an opening that is under way; one that is open is left alone."""
        self._abandoned = True
        self._opening.cancel()

    def end(self) -> None:
        self._stop.set()

    async def until_ended(self) -> None:
        """Wait until it is asked to end."""
        await self._stop.wait()

    async def live(
        self,
        enter: Enter,
        opened: Callable[[object], None],
        limits: Limits,
        hold: Callable[[], Awaitable[object]] | None = None,
    ) -> End:
        """Open, tell, hold (by default until asked to end), close; tell how it ended.

        Raises nothing but what ends the process.
        """
        if self._abandoned:
            return End("given up")
        phase: Ended = "not opened"
        error: BaseException | None = None
        guard = anyio.CancelScope()
        try:
            with self._opening, guard:
                self._opening.deadline = anyio.current_time() + limits.opening
                async with AsyncExitStack() as stack:
                    value = await enter(stack)
                    self._entered = True
                    # From here on neither the limit of the opening nor another's failure reaches it.
                    guard.shield = True
                    if not self._opening.cancel_called:
                        self._opening.deadline = math.inf
                        phase = "failed"
                        opened(value)
                        try:
                            await (hold or self.until_ended)()
                        finally:  # what a crash leaves to clean up has its limit too
                            guard.deadline = anyio.current_time() + limits.closing
                        phase = "not closed"
                    guard.deadline = anyio.current_time() + limits.closing
                if phase == "not closed" and not guard.cancel_called:
                    phase = "closed"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:  # noqa: BLE001 - a resource's end is its own: it is told, never passed on
            error = raised
        return self._ended(phase, error, guard, limits)

    def _ended(self, phase: Ended, error: BaseException | None, guard: anyio.CancelScope, limits: Limits) -> End:
        if phase == "not opened" and self._abandoned:
            # It may have opened all the same, and then not have closed.
            return End("not closed", error) if self._entered and isinstance(error, Exception) else End("given up")
        if phase == "not opened" and self._opening.cancel_called:
            return End(phase, limits.too_long("open"))
        if guard.cancel_called and phase == "not closed":
            return End(phase, limits.too_long("close"))
        if guard.cancel_called and phase == "failed":
            return End(phase, TimeoutError(f"it failed, and took more than {limits.closing:g} s to clean up"))
        if isinstance(error, anyio.get_cancelled_exc_class()):
            error = RuntimeError("something it awaited was cancelled")
        if phase == "failed" and error is None:
            error = RuntimeError("it ended by itself while the application was running")
        return End(phase, error)


async def outlast(event: anyio.Event) -> None:
    """Wait for something that is sure to come, whatever cancellation arrives from outside anyio meanwhile."""
    while not event.is_set():
        with suppress(anyio.get_cancelled_exc_class()):
            await event.wait()
