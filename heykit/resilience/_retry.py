"""Trying again: how often, how long, after what, and never by more than a share of the calls."""

from __future__ import annotations

import functools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Final, ParamSpec, TypeVar

import anyio

from heykit.errors import HeykitError, TimedOut
from heykit.resilience._names import name_of

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("heykit.resilience")


@dataclass(frozen=True)
class Retry:
    """How often to try, and how long to wait between: doubled each time, with full jitter.

    `attempts` counts the first one; `deadline` (seconds) is for all of them; `wait` is the most the first pause takes
    (seconds); `on` names what is worth another attempt, and empty means any error.
    """

    attempts: int = 3
    deadline: float = 10.0
    wait: float = 0.1
    on: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1 or not self.deadline > 0 or not self.wait >= 0:
            raise ValueError("a Retry has 1 attempt or more, a deadline above 0 s, and waits of 0 s or more")

    def is_worth(self, error: Exception) -> bool:
        """Tell whether an error is one to try again after."""
        return not self.on or isinstance(error, self.on)


@dataclass(frozen=True)
class Budget:
    """How many attempts may come on top of the first ones: when everything fails, trying again only adds to the load.

    Of the calls of the last `window` seconds a `share`, and besides, for those who call seldom, `per_second`.
    """

    share: float = 0.2
    per_second: float = 1.0
    window: float = 10.0

    def __post_init__(self) -> None:
        if not (self.share >= 0 and self.per_second >= 0 and 0 < self.window < math.inf):
            raise ValueError("a Budget has a share and per_second of 0 or more, and a window above 0 s")


DEFAULT_BUDGET: Final = Budget()


def _none(error: Exception) -> float:
    return 0.0


def pauses(policy: Retry, *, uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Give the pauses between attempts in seconds: one fewer than there are attempts.

    Full jitter ("Exponential Backoff And Jitter", M. Brooker, 2015): each is drawn evenly from zero to its bound, so
    that those who failed together do not come again together.
    """
    bound = policy.wait
    for _ in range(policy.attempts - 1):
        yield uniform(0.0, bound)
        bound = min(2 * bound, policy.deadline)  # a longer pause could not be followed by anything


def retry(
    policy: Retry,
    *,
    idempotent: bool = False,
    budget: Budget = DEFAULT_BUDGET,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    uniform: Callable[[float, float], float] = random.uniform,
    least_pause: Callable[[Exception], float] = _none,
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[object, object, T]]]:
    """Make a decorator that calls an async function again where that may help and cannot hurt.

    A call that is not `idempotent` is repeated only after an error that says it had no effect (`had_no_effect` of
    heykit's errors): put it on the call that may fail so, or on one transaction, not on a function that does something
    else before. The functions one decorator is put on share its budget. No attempt begins after the deadline, and
    one that follows another is ended there with `TimedOut`; the first has the time limits of its own function. The
    last attempt's error is raised as it is. `least_pause` says how many seconds to wait after an error at least, such
    as those of a Retry-After; where they end after the deadline, that error is raised at once.
    """
    recent = _Recent(budget, clock())
    tries = _Tries(policy, recent, clock, sleep, uniform, least_pause, idempotent=idempotent)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, object, T]]:
        @functools.wraps(function)
        async def trying(*args: P.args, **kwargs: P.kwargs) -> T:
            now = clock()
            if now >= recent.ends:
                recent.turn(now)
            recent.calls += 1
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                if not policy.is_worth(error):
                    raise
                failed = error
            return await tries.go_on(failed, now + policy.deadline, function, *args, **kwargs)

        return trying

    return decorate


@dataclass(frozen=True)
class _Tries:
    """The attempts that come on top of the first ones, of all functions one decorator is put on."""

    policy: Retry
    recent: _Recent
    clock: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    uniform: Callable[[float, float], float]
    least_pause: Callable[[Exception], float]
    _: KW_ONLY
    idempotent: bool

    async def go_on(
        self, failed: Exception, until: float, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        policy = self.policy
        for number, jitter in enumerate(pauses(policy, uniform=self.uniform), start=1):
            pause = self.least_pause(failed) + jitter  # those who were told the same do not come together
            stop = self._reason_to_stop(failed, until - self.clock() - pause)
            _tell(function, policy, number, failed, stop or f"again in {pause:.2f} s")
            if stop:
                raise failed
            await self.sleep(pause)
            if self.clock() >= until:
                _tell(function, policy, number, failed, "the deadline came before another attempt")
                raise failed
            try:
                return await _within(until - self.clock(), function, *args, **kwargs)
            except Exception as error:
                if not policy.is_worth(error):
                    raise
                failed = error
        _tell(function, policy, policy.attempts, failed, "it was the last")
        raise failed

    def _reason_to_stop(self, error: Exception, left: float) -> str:
        if not self.idempotent and not had_no_effect(error):
            return "it may have had an effect"
        if left <= 0:
            return "the deadline comes before another attempt"
        return "" if self.recent.spend(self.clock()) else "the budget for further attempts is spent"


async def _within(seconds: float, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    with anyio.move_on_after(seconds) as limit:
        return await function(*args, **kwargs)
    assert limit.cancelled_caught
    raise TimedOut(
        f"{name_of(function)} did not answer within the deadline of its Retry: its last attempt may have had an effect"
    )


def had_no_effect(error: Exception) -> bool:
    """Tell whether a call that failed so certainly changed nothing."""
    return isinstance(error, HeykitError) and error.had_no_effect


def _tell(function: Callable[..., object], policy: Retry, number: int, error: Exception, then: str) -> None:
    # Only heykit's own errors are known to hold no secret.
    said = f"{type(error).__name__}: {error}" if isinstance(error, HeykitError) else type(error).__name__
    name = name_of(function)
    logger.warning("attempt %d of %d of %s failed (%s): %s", number, policy.attempts, name, said, then)


class _Recent:
    """The calls and further attempts of about the last window: of this one, and of what is left of the one before."""

    __slots__ = ("_before", "_budget", "_spent", "_spent_before", "calls", "ends")

    def __init__(self, budget: Budget, now: float) -> None:
        self._budget = budget
        self.calls = self._before = 0
        self._spent = self._spent_before = 0
        self.ends = now + budget.window

    def turn(self, now: float) -> None:
        """Begin another window."""
        is_next = now < self.ends + self._budget.window
        self._before, self.calls = (self.calls if is_next else 0), 0
        self._spent_before, self._spent = (self._spent if is_next else 0), 0
        self.ends = (self.ends if is_next else now) + self._budget.window

    def spend(self, now: float) -> bool:
        """Take one further attempt, where there is one."""
        if now >= self.ends:
            self.turn(now)
        budget = self._budget
        left = (self.ends - now) / budget.window  # of the window before
        allowed = budget.share * (self.calls + self._before * left) + budget.per_second * budget.window
        if self._spent + self._spent_before * left + 1 > allowed:
            return False
        self._spent += 1
        return True
