"""When a job is taken, put off and given up: the queue's policy, as pure functions over values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

__all__ = ["Limits", "Taken", "Waiting", "delay", "given_up", "taken"]

_FIRST_DELAY, _LONGEST_DELAY = 5.0, 600.0  # seconds


@dataclass(frozen=True)
class Limits:
    """How long a job is held without a word from its worker (seconds), and how often it may be begun."""

    lease: float = 10.0
    attempts: int = 5

    def __post_init__(self) -> None:
        if not self.lease > 0:
            raise ValueError("lease must be more than 0 seconds")
        if self.attempts < 1:
            raise ValueError("attempts must be 1 or more")


@dataclass(frozen=True)
class Waiting:
    """A job that is due, as it stood when it was looked at: queued, or rendering under a lease that has run out."""

    id: str
    user_id: str
    status: Literal["queued", "rendering"]
    attempts: int
    due_at: datetime
    title: str
    script: str
    avatar_id: str


@dataclass(frozen=True)
class Taken:
    """What becomes of a job that a worker takes."""

    attempts: int
    due_at: datetime


def taken(job: Waiting, at: datetime, limits: Limits) -> Taken | None:
    """Say how a job that is due at this instant is taken; `None` if it was begun too often and is given up."""
    if job.attempts >= limits.attempts:
        return None
    return Taken(job.attempts + 1, at + timedelta(seconds=limits.lease))


def given_up(attempts: int, reason: str = "") -> str:
    """Tell the user why a job is not tried again."""
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"Rendering was begun {times} and never finished{': ' + reason if reason else ''}. Order the video again."


def delay(attempts: int) -> timedelta:
    """Say how long a job waits that was put off after so many attempts: 5 s, 20 s, 80 s and so on, 10 minutes at most.

    Long enough together that a file store or an outside renderer may be away for some minutes.
    """
    return timedelta(seconds=min(_FIRST_DELAY * 4.0 ** min(attempts - 1, 8), _LONGEST_DELAY))
