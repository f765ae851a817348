from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heykit.heygen import RenderQueue, User, render_queue
from heykit.heygen.bell import QUEUE
from heykit.heygen.leases import delay
from heykit.heygen.queue import Claim, Limits, QueueCounts
from tests.heygen.world import World

LEASE, ATTEMPTS = 10, 3


@pytest.fixture
def queue(here: World) -> RenderQueue:
    return queue_of(here)


def queue_of(here: World) -> RenderQueue:
    return render_queue(here.database, here.bell, lease=LEASE, attempts=ATTEMPTS, now=here.clock, entropy=here.entropy)


async def claimed(queue: RenderQueue) -> Claim:
    claim = await queue.claim()
    assert claim is not None
    return claim


async def test_the_oldest_video_is_claimed_first_and_none_twice(here: World, ada: User, queue: RenderQueue) -> None:
    ids = [await here.order(ada) for _ in range(3)]
    claims = [await claimed(queue) for _ in ids]
    assert ids == [claim.job.video_id for claim in claims]
    assert await queue.claim() is None
    job = claims[0].job
    assert (job.title, job.script, job.avatar_id) == ("Hello", "Hello, world.", "amelia")


async def test_a_claim_shows_in_the_video_until_it_is_complete(here: World, ada: User, queue: RenderQueue) -> None:
    id = await here.order(ada)
    claim = await claimed(queue)
    assert (await here.videos.get(ada, id)).status == "rendering"
    assert await queue.progress(claim, 40)
    assert (await here.videos.get(ada, id)).progress == 40
    assert await queue.complete(claim, "videos/x.svg", 7)
    video = await here.videos.get(ada, id)
    assert (video.status, video.progress, video.file, video.size, video.error) == ("done", 100, "videos/x.svg", 7, None)
    assert video.finished_at is not None


@pytest.mark.parametrize(("told", "kept"), [(-5, 0), (0, 0), (99, 99), (100, 99), (1000, 99)])
async def test_only_what_is_done_is_at_100_percent(
    here: World, ada: User, queue: RenderQueue, told: int, kept: int
) -> None:
    id = await here.order(ada)
    assert await queue.progress(await claimed(queue), told)
    assert kept == (await here.videos.get(ada, id)).progress


async def test_a_lease_that_runs_out_is_claimed_again_and_the_first_owner_changes_nothing(
    here: World, ada: User, queue: RenderQueue
) -> None:
    id = await here.order(ada)
    first = await claimed(queue)
    here.clock.turn(LEASE - 0.001)
    assert await queue.claim() is None
    here.clock.turn(0.001)
    second = await claimed(queue)
    assert (id, 2) == (second.job.video_id, second.attempt)
    assert not await queue.progress(first, 50)
    assert not await queue.complete(first, "stale", 1)
    assert not await queue.fail(first, "stale")
    assert not await queue.put_off(first, "stale")
    assert not await queue.release(first)
    assert await queue.complete(second, "fresh", 1)
    assert (await here.videos.get(ada, id)).file == "fresh"


async def test_progress_renews_the_lease(here: World, ada: User, queue: RenderQueue) -> None:
    await here.order(ada)
    claim = await claimed(queue)
    for _ in range(5):
        here.clock.turn(LEASE - 1)
        assert await queue.progress(claim, 1)
        assert await queue.claim() is None


async def test_a_released_job_is_claimed_at_once_and_the_attempt_does_not_count(
    here: World, ada: User, queue: RenderQueue
) -> None:
    await here.order(ada)
    with here.bell.listening(QUEUE) as order:
        assert await queue.release(await claimed(queue))
        assert await order.wait(0)
    assert (await claimed(queue)).attempt == 1


async def test_a_job_that_was_put_off_waits_longer_each_time_and_fails_at_last(
    here: World, ada: User, queue: RenderQueue
) -> None:
    id = await here.order(ada)
    for attempt in range(1, ATTEMPTS):
        assert await queue.put_off(await claimed(queue), "the disk is full")
        assert (await here.videos.get(ada, id)).error == "the disk is full"
        here.clock.turn(delay(attempt).total_seconds() - 1)
        assert await queue.claim() is None
        here.clock.turn(1)
    assert await queue.put_off(await claimed(queue), "the disk is full")
    video = await here.videos.get(ada, id)
    assert video.status == "failed"
    assert video.error == "Rendering was begun 3 times and never finished: the disk is full. Order the video again."


async def test_a_job_whose_worker_dies_again_and_again_fails_with_a_reason(
    here: World, ada: User, queue: RenderQueue
) -> None:
    id = await here.order(ada)
    other = await here.order(ada)
    for _ in range(ATTEMPTS):
        assert id == (await claimed(queue)).job.video_id
        here.clock.turn(LEASE)
    assert other == (await claimed(queue)).job.video_id
    video = await here.videos.get(ada, id)
    assert (video.status, video.finished_at is not None) == ("failed", True)
    assert video.error == "Rendering was begun 3 times and never finished. Order the video again."


async def test_a_deleted_video_is_nobodys_job(here: World, ada: User, queue: RenderQueue) -> None:
    id = await here.order(ada)
    claim = await claimed(queue)
    assert not await queue.is_gone(claim)
    await here.videos.delete(ada, id)
    assert await queue.is_gone(claim)
    assert not await queue.progress(claim, 50)
    assert not await queue.complete(claim, "x", 1)
    assert QueueCounts(0, 0) == await queue.counts()


async def test_counts_are_of_what_waits_and_what_is_rendered(here: World, ada: User, queue: RenderQueue) -> None:
    for _ in range(4):
        await here.order(ada)
    await queue.complete(await claimed(queue), "x", 1)
    await claimed(queue)
    assert QueueCounts(queued=2, rendering=1) == await queue.counts()


async def test_workers_that_race_never_claim_one_job_twice(here: World, ada: User) -> None:
    ids = {await here.order(ada) for _ in range(20)}
    won: list[str] = []

    async def work() -> None:
        queue = queue_of(here)
        while claim := await queue.claim():
            won.append(claim.job.video_id)

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(work)
    assert sorted(ids) == sorted(won)


@pytest.mark.parametrize(("lease", "attempts"), [(0, 1), (-1, 1), (float("nan"), 1), (1, 0)])
def test_limits_that_leave_nothing_are_refused(lease: float, attempts: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        Limits(lease, attempts)


@dataclass
class Job:
    """What the model knows of a video; times in seconds."""

    id: str
    due: float
    ordered: float
    status: str = "queued"
    attempts: int = 0
    holder: str | None = None
    completed: int = 0


@dataclass
class Model:
    """The queue as anyone would write it down: a list of jobs, oldest first."""

    here: World
    queue: RenderQueue
    user: User
    jobs: list[Job] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    async def order(self, _: int) -> None:
        id = await self.here.order(self.user)
        self.jobs.append(Job(id, self.here.clock(), self.here.clock()))

    async def turn(self, seconds: int) -> None:
        self.here.clock.turn(seconds)

    async def until_next_is_due(self, _: int) -> None:
        times = [job.due for job in self.jobs if job.due > self.here.clock() and job.status in ("queued", "rendering")]
        self.here.clock.turn(min(times) - self.here.clock() if times else 0)

    async def claim(self, _: int) -> None:
        expected = self._next()
        claim = await self.queue.claim()
        assert (expected.id if expected else None) == (claim.job.video_id if claim else None)
        if expected and claim:
            expected.attempts += 1
            expected.status, expected.holder, expected.due = "rendering", claim.lease, self.here.clock() + LEASE
            assert expected.attempts == claim.attempt
            self.claims.append(claim)

    async def progress(self, which: int) -> None:
        if claim := self._claim(which):
            job = self._held(claim)
            assert (job is not None) == await self.queue.progress(claim, 10)
            if job:
                job.due = self.here.clock() + LEASE

    async def complete(self, which: int) -> None:
        if claim := self._claim(which):
            job = self._held(claim)
            assert (job is not None) == await self.queue.complete(claim, "x", 1)
            if job:
                job.completed += 1
                job.status, job.holder = "done", None

    async def fail(self, which: int) -> None:
        if claim := self._claim(which):
            job = self._held(claim)
            assert (job is not None) == await self.queue.fail(claim, "no")
            if job:
                job.status, job.holder = "failed", None

    async def put_off(self, which: int) -> None:
        if claim := self._claim(which):
            job = self._held(claim)
            assert (job is not None) == await self.queue.put_off(claim, "later")
            if job:
                job.status, job.holder = ("queued" if job.attempts < ATTEMPTS else "failed"), None
                job.due = self.here.clock() + delay(job.attempts).total_seconds()

    async def release(self, which: int) -> None:
        if claim := self._claim(which):
            job = self._held(claim)
            assert (job is not None) == await self.queue.release(claim)
            if job:
                job.status, job.holder, job.due = "queued", None, job.ordered
                job.attempts -= 1

    async def delete(self, which: int) -> None:
        if self.jobs:
            job = self.jobs.pop(which % len(self.jobs))
            await self.here.videos.delete(self.user, job.id)

    async def check(self) -> None:
        videos = (await self.here.videos.page(self.user, limit=100)).items
        assert [(job.id, job.status) for job in self.jobs] == [(video.id, video.status) for video in videos[::-1]]
        statuses = Counter(job.status for job in self.jobs)
        assert QueueCounts(statuses["queued"], statuses["rendering"]) == await self.queue.counts()

    def _next(self) -> Job | None:
        for job in self.jobs:
            if job.status in ("queued", "rendering") and job.due <= self.here.clock():
                if job.attempts < ATTEMPTS:
                    return job
                job.status, job.holder = "failed", None
        return None

    def _claim(self, which: int) -> Claim | None:
        return self.claims[which % len(self.claims)] if self.claims else None

    def _held(self, claim: Claim) -> Job | None:
        return next((job for job in self.jobs if job.holder == claim.lease), None)


Step = Callable[[Model, int], Awaitable[None]]
STEPS: st.SearchStrategy[Step] = st.sampled_from(
    [
        Model.order, Model.claim, Model.claim, Model.progress, Model.complete, Model.fail, Model.put_off, Model.release,
        Model.delete, Model.turn, Model.until_next_is_due,
    ]
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(st.lists(st.tuples(STEPS, st.integers(0, 20)), max_size=30))
async def test_no_job_is_lost_and_none_is_done_twice(here: World, steps: list[tuple[Step, int]]) -> None:
    await here.database.execute("DELETE FROM users")  # and with them their videos
    model = Model(here, queue_of(here), await here.user())
    for step, number in steps:
        await step(model, number)
        await model.check()
    while any(job.status in ("queued", "rendering") for job in model.jobs):
        await model.until_next_is_due(0)
        await model.claim(0)
        await model.complete(len(model.claims) - 1)
        await model.check()
    assert all(job.completed == (job.status == "done") for job in model.jobs)
