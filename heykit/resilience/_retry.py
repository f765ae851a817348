"""Trying again: how often, how long, after what, and never by more than a share of the calls."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Final, ParamSpec, TypeVar

import anyio

from heykit.errors import HeykitError, TimedOut

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

    `share` of the calls, and besides `per_second` for those who call seldom; up to `burst` of them saved up.
    """

    share: float = 0.2
    per_second: float = 1.0
    burst: float = 10.0

    def __post_init__(self) -> None:
        if not (self.share >= 0 and self.per_second >= 0 and self.burst >= 1):
            raise ValueError("a Budget has a share and per_second of 0 or more, and a burst of 1 or more")


DEFAULT_BUDGET: Final = Budget()


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
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[object, object, T]]]:
    """Make a decorator that calls an async function again where that may help and cannot hurt.

    A call that is not `idempotent` is repeated only after an error that says it had no effect (`had_no_effect` of
    heykit's errors). The functions one decorator is put on share its budget. No attempt begins after the deadline, and
    one that follows another is ended there with `TimedOut`; the first has the time limits of its own function. The
    last attempt's error is raised as it is.
    """
    savings = _Savings(budget, clock())

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, object, T]]:
        @functools.wraps(function)
        async def trying(*args: P.args, **kwargs: P.kwargs) -> T:
            savings.calls += 1
            until = clock() + policy.deadline
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                if not policy.is_worth(error):
                    raise
                failed = error
            for number, pause in enumerate(pauses(policy, uniform=uniform), start=1):
                stop = _reason_to_stop(failed, until - clock() - pause, idempotent=idempotent)
                stop = stop or ("" if savings.spend(clock()) else "the budget for further attempts is spent")
                _tell(function, policy, number, failed, stop or f"again in {pause:.2f} s")
                if stop:
                    raise failed
                await sleep(pause)
                try:
                    return await _within(until - clock(), function, *args, **kwargs)
                except Exception as error:
                    if not policy.is_worth(error):
                        raise
                    failed = error
            _tell(function, policy, policy.attempts, failed, "it was the last")
            raise failed

        return trying

    return decorate


async def _within(seconds: float, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    with anyio.move_on_after(seconds) as limit:
        return await function(*args, **kwargs)
    assert limit.cancelled_caught
    name = getattr(function, "__name__", "the call")
    raise TimedOut(f"{name} did not answer within the deadline of its Retry: its last attempt may have had an effect")


def _reason_to_stop(error: Exception, left: float, *, idempotent: bool) -> str:
    if not idempotent and not had_no_effect(error):
        return "it may have had an effect"
    return "the deadline comes before another attempt" if left <= 0 else ""


def had_no_effect(error: Exception) -> bool:
    """Tell whether a call that failed so certainly changed nothing."""
    return isinstance(error, HeykitError) and error.had_no_effect


def _tell(function: Callable[..., object], policy: Retry, number: int, error: Exception, then: str) -> None:
    # Only heykit's own errors are known to hold no secret.
    said = f"{type(error).__name__}: {error}" if isinstance(error, HeykitError) else type(error).__name__
    name = getattr(function, "__qualname__", repr(function))
    logger.warning("attempt %d of %d of %s failed (%s): %s", number, policy.attempts, name, said, then)


class _Savings:
    """What a budget allows at the moment. `calls` were made since that was last looked at."""

    __slots__ = ("_at", "_budget", "_saved", "calls")

    def __init__(self, budget: Budget, now: float) -> None:
        self.calls = 0
        self._budget = budget
        self._saved = budget.burst
        self._at = now

    def spend(self, now: float) -> bool:
        """Take one attempt, where there is one."""
        budget = self._budget
        earned = budget.share * self.calls + budget.per_second * (now - self._at)
        self._saved = min(budget.burst, self._saved + earned)
        self._at, self.calls = now, 0
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
