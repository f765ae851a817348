"""The render queue. It is the table of videos itself, so a restart loses no job.

A worker *claims* a job and holds it under a lease, which each report of progress renews. A lease that runs out (its
process was killed, or stood still) is claimed again by whoever looks next. Everything after the claim is a compare-and-
set on the lease, which is new with every claim: who has lost a job, or whose video was deleted, is told so and changes
nothing. Processes that share a queue share a clock, to within much less than a lease.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from heykit.cache import Cache
from heykit.database.protocol import Database
from heykit.heygen.bell import QUEUE, Bell
from heykit.heygen.forgetting import changing
from heykit.heygen.ids import new_id
from heykit.heygen.instants import instant
from heykit.heygen.leases import Limits, Taken, Waiting, delay, given_up, taken
from heykit.heygen.pages import Page
from heykit.heygen.renderer import RenderJob
from heykit.heygen.videos import Video

__all__ = ["Claim", "Limits", "QueueCounts", "RenderQueue", "render_queue"]


@dataclass(frozen=True)
class Claim:
    """A job that is ours for now; `attempt` counts from 1."""

    job: RenderJob
    user_id: str
    lease: str
    attempt: int


@dataclass(frozen=True)
class QueueCounts:
    """How many videos wait, and how many are being rendered, by all processes."""

    queued: int
    rendering: int


class RenderQueue(Protocol):
    """Jobs in the order of their videos. Methods that take a claim give False where it is no longer ours."""

    @property
    def limits(self) -> Limits:
        """How long a lease is, and how often a job is begun."""
        ...

    async def claim(self) -> Claim | None:
        """Take the oldest job that is due; `None` if there is none. Jobs begun too often are given up on the way."""
        ...

    async def progress(self, claim: Claim, percent: int, /) -> bool:
        """Renew the lease, and say how far the job is."""
        ...

    async def complete(self, claim: Claim, file: str, size: int, /) -> bool:
        """Mark the video done; its file, of so many bytes, is in the store."""
        ...

    async def fail(self, claim: Claim, reason: str, /) -> bool:
        """Mark the video failed for good, for a reason that its user reads."""
        ...

    async def put_off(self, claim: Claim, reason: str, /) -> bool:
        """Put the job back for a later attempt; after the last one it fails for this reason."""
        ...

    async def release(self, claim: Claim, /) -> bool:
        """Put the job back for anyone to take at once, as if it had never been claimed."""
        ...

    async def is_gone(self, claim: Claim, /) -> bool:
        """True if the video was deleted."""
        ...

    async def counts(self) -> QueueCounts: ...


def render_queue(
    database: Database,
    bell: Bell,
    *,
    cache: Cache[Page[Video]] | None = None,
    lease: float = 10.0,
    attempts: int = 5,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> RenderQueue:
    """Give the render queue of a database that has our tables (`MIGRATIONS`); it needs no closing.

    A job without a word from its worker for `lease` seconds is anyone's; one begun `attempts` times is given up.
    In the `cache` of pages, those of whose videos change are forgotten. Raises ValueError for limits that leave no time
    or no attempt.
    """
    return _RenderQueue(database, bell, cache, limits=Limits(lease, attempts), now=now, entropy=entropy)


class _RenderQueue:
    def __init__(
        self,
        database: Database,
        bell: Bell,
        cache: Cache[Page[Video]] | None,
        *,
        limits: Limits,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self.limits = limits
        self._database = database
        self._bell = bell
        self._cache = cache
        self._now = now
        self._entropy = entropy

    async def claim(self) -> Claim | None:
        # Whoever loses the race for a job looks again: each loss means that another has taken one.
        while job := await self._oldest_due():
            take = taken(job, instant(self._now()), self.limits)
            if take is None:
                await self._give_up(job)
            elif claim := await self._take(job, take):
                return claim
        return None

    async def progress(self, claim: Claim, percent: int, /) -> bool:
        return await self._change(
            claim,
            "UPDATE videos SET progress = $3, due_at = $4 WHERE id = $1 AND lease = $2",
            max(0, min(percent, 99)),  # 100 is for what is done
            instant(self._now()) + timedelta(seconds=self.limits.lease),
        )

    async def complete(self, claim: Claim, file: str, size: int, /) -> bool:
        return await self._change(
            claim,
            "UPDATE videos SET status = 'done', progress = 100, error = NULL, file = $3, size = $4, finished_at = $5,"
            " lease = NULL WHERE id = $1 AND lease = $2",
            file,
            size,
            instant(self._now()),
        )

    async def fail(self, claim: Claim, reason: str, /) -> bool:
        return await self._change(
            claim,
            "UPDATE videos SET status = 'failed', error = $3, finished_at = $4, lease = NULL"
            " WHERE id = $1 AND lease = $2",
            reason,
            instant(self._now()),
        )

    async def put_off(self, claim: Claim, reason: str, /) -> bool:
        if claim.attempt >= self.limits.attempts:
            return await self.fail(claim, given_up(claim.attempt, reason))
        return await self._change(
            claim,
            "UPDATE videos SET status = 'queued', progress = 0, error = $3, due_at = $4, lease = NULL"
            " WHERE id = $1 AND lease = $2",
            reason,
            instant(self._now()) + delay(claim.attempt),
        )

    async def release(self, claim: Claim, /) -> bool:
        released = await self._change(
            claim,
            "UPDATE videos SET status = 'queued', progress = 0, attempts = attempts - 1, due_at = created_at,"
            " lease = NULL WHERE id = $1 AND lease = $2",
        )
        self._bell.ring(QUEUE)
        return released

    async def is_gone(self, claim: Claim, /) -> bool:
        found = await self._database.fetch_one("SELECT id FROM videos WHERE id = $1", claim.job.video_id)
        return found is None

    async def counts(self) -> QueueCounts:
        found = await self._database.fetch_one(
            "SELECT COUNT(CASE WHEN status = 'queued' THEN 1 END) AS queued,"
            " COUNT(CASE WHEN status = 'rendering' THEN 1 END) AS rendering"
            " FROM videos WHERE status IN ('queued', 'rendering')",
            into=QueueCounts,
        )
        return found or QueueCounts(0, 0)

    async def _oldest_due(self) -> Waiting | None:
        return await self._database.fetch_one(
            "SELECT * FROM videos WHERE status IN ('queued', 'rendering') AND due_at <= $1"
            " ORDER BY created_at, id LIMIT 1",
            instant(self._now()),
            into=Waiting,
        )

    async def _take(self, job: Waiting, take: Taken) -> Claim | None:
        lease = new_id(self._entropy)
        is_ours = await self._set(
            job.user_id,
            "UPDATE videos SET status = 'rendering', progress = 0, error = NULL, attempts = $5, due_at = $6, lease = $7"
            " WHERE id = $1 AND status = $2 AND attempts = $3 AND due_at = $4",
            job.id,
            job.status,
            job.attempts,
            job.due_at,
            take.attempts,
            take.due_at,
            lease,
        )
        if not is_ours:
            return None
        return Claim(RenderJob(job.id, job.title, job.script, job.avatar_id), job.user_id, lease, take.attempts)

    async def _give_up(self, job: Waiting) -> None:
        await self._set(
            job.user_id,
            "UPDATE videos SET status = 'failed', error = $5, finished_at = $6, lease = NULL"
            " WHERE id = $1 AND status = $2 AND attempts = $3 AND due_at = $4",
            job.id,
            job.status,
            job.attempts,
            job.due_at,
            given_up(job.attempts),
            instant(self._now()),
        )

    async def _change(self, claim: Claim, sql: str, *args: object) -> bool:
        return await self._set(claim.user_id, sql, claim.job.video_id, claim.lease, *args)

    async def _set(self, user_id: str, sql: str, video_id: str, *args: object) -> bool:
        """Change a video, and tell all who look at it; give False where it is not what it was."""
        try:
            async with changing(self._cache, user_id):
                return await self._database.execute(sql, video_id, *args) == 1
        finally:
            self._bell.ring(video_id)
