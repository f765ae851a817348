"""Trying again, as a policy that is a value."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass


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


def pauses(policy: Retry, *, uniform: Callable[[float, float], float] = random.uniform) -> Iterator[float]:
    """Give the pauses between attempts in seconds: one fewer than there are attempts.

    Full jitter ("Exponential Backoff And Jitter", M. Brooker, 2015): each is drawn evenly from zero to its bound, so
    that those who failed together do not come again together.
    """
    bound = policy.wait
    for _ in range(policy.attempts - 1):
        yield uniform(0.0, bound)
        bound = min(2 * bound, policy.deadline)  # a longer pause could not be followed by anything
