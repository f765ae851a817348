"""Not asking what is surely away: whoever waits for it gives up at once, and it may recover in peace."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Literal, ParamSpec, TypeAlias, TypeVar

from heykit.errors import HeykitError, Overloaded, Unavailable
from heykit.resilience._names import name_of

P = ParamSpec("P")
T = TypeVar("T")
State: TypeAlias = Literal["closed", "open", "half-open"]

logger = logging.getLogger("heykit.resilience")


@dataclass(frozen=True)
class Breaker:
    """After so many failures in a row nothing is asked for `cooldown` seconds; then one call may try.

    `on` names what counts as a failure. Empty means any error but those of heykit's that are the caller's own fault:
    an HTTP status below 500. `ignore` names what says nothing of what was asked, neither good nor bad.
    """

    failures: int = 5
    cooldown: float = 5.0
    on: tuple[type[Exception], ...] = ()
    ignore: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.failures < 1 or not self.cooldown > 0:
            raise ValueError("a Breaker allows 1 failure or more, and has a cooldown above 0 s")

    def says_nothing(self, error: Exception) -> bool:
        """Tell whether an error has nothing to do with how well it is that was asked."""
        return isinstance(error, self.ignore) or (isinstance(error, Overloaded) and not self.on)

    def is_failure(self, error: Exception) -> bool:
        """Tell whether an error says that what was asked is not well."""
        if self.on:
            return isinstance(error, self.on)
        return not (isinstance(error, HeykitError) and error.status < 500)


def breaker(
    policy: Breaker, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[object, object, T]]]:
    """Make a decorator that stops calling an async function that keeps failing.

    While it is open, calls raise `Unavailable` at once, with the seconds that are left of the cooldown; then one call
    is the probe, and what comes meanwhile is still refused. A cancelled call says nothing. The functions one decorator
    is put on are one circuit.
    """
    circuit = Circuit(policy)

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[object, object, T]]:
        name = name_of(function)

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            turn = circuit.turn
            if circuit.state != "closed":
                turn = _admitted(circuit, name, clock())
            try:
                value = await function(*args, **kwargs)
            except BaseException as error:
                if not isinstance(error, Exception) or policy.says_nothing(error):
                    circuit.abandoned(turn)  # it says nothing of what was asked
                elif not policy.is_failure(error):
                    _passed(circuit, turn, name)
                elif circuit.failed(turn, clock()):
                    logger.warning(
                        "%s is not called for %g s: it failed %d times", name, policy.cooldown, circuit.failures
                    )
                raise
            if circuit.failures:
                _passed(circuit, turn, name)
            return value

        return guarded

    return decorate


def _admitted(circuit: Circuit, name: str, now: float) -> int:
    turn = circuit.admit(now)
    if turn is None:
        left = circuit.seconds_left(now)
        raise Unavailable(
            f"{name} is away, and not asked for {left:.1f} s more: try again later",
            retry_after=left,
            had_no_effect=True,
        )
    return turn


def _passed(circuit: Circuit, turn: int, name: str) -> None:
    if circuit.succeeded(turn):
        logger.info("%s is called again", name)


class Circuit:
    """The states of a breaker; a clock's reading comes with each question that needs one.

    A call belongs to the turn in which it began: what it says counts only in that turn.
    """

    __slots__ = ("_policy", "_until", "failures", "state", "turn")

    def __init__(self, policy: Breaker) -> None:
        self._policy = policy
        self._until = 0.0
        self.state: State = "closed"
        self.failures = 0  # in a row
        self.turn = 0

    def admit(self, now: float) -> int | None:
        """Give the turn a call belongs to, or nothing where it is refused."""
        if self.state == "closed":
            return self.turn
        if now < self._until:
            return None
        # A probe that has said nothing for as long as a cooldown is given up.
        self.state = "half-open"
        self._until = now + self._policy.cooldown
        self.turn += 1
        return self.turn

    def seconds_left(self, now: float) -> float:
        """Say in how many seconds it may be worth asking again."""
        return max(0.0, self._until - now)

    def succeeded(self, turn: int) -> bool:
        """Note an answer; tell whether that closes it."""
        if turn != self.turn:
            return False
        closes = self.state != "closed"
        self.state = "closed"
        self.failures = 0
        return closes

    def failed(self, turn: int, now: float) -> bool:
        """Note a failure; tell whether that opens it."""
        if turn != self.turn:
            return False
        self.failures += 1
        if self.state == "closed" and self.failures < self._policy.failures:
            return False
        self.state = "open"
        self.turn += 1
        self._until = now + self._policy.cooldown
        return True

    def abandoned(self, turn: int) -> None:
        """Note that a call was cancelled: where it was the probe, the next one is."""
        if turn == self.turn and self.state == "half-open":
            self.state = "open"
            self._until = -math.inf
            self.turn += 1
