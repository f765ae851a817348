from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from heykit.errors import DatabaseError, FileError, FileTooLarge, HeykitError, Unavailable
from heykit.health import Checked
from heykit.heygen import (
    Bell,
    RenderFailed,
    RenderJob,
    RenderQueue,
    Report,
    User,
    Video,
    render_queue,
    render_worker,
    storyboard_renderer,
    watch_videos,
)
from heykit.heygen.leases import delay
from heykit.heygen.queue import Claim, Limits, QueueCounts
from heykit.resources import file_store
from tests.heygen.world import Echo, World

NEVER, OFTEN = 3600.0, 0.01  # seconds between polls


@pytest.fixture
def queue(here: World) -> RenderQueue:
    return render_queue(here.database, here.bell, now=here.clock, entropy=here.entropy)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    with anyio.fail_after(20):
        while not await condition():
            await anyio.sleep(OFTEN)


async def ended(here: World, user: User, id: str) -> Video:
    """Wait until a video is done or failed."""
    with anyio.fail_after(20):
        async for _ in watch_videos(here.database, here.bell, poll_interval=OFTEN)(id):
            continue
    return await here.videos.get(user, id)


@dataclass
class Held:
    """A renderer that holds every job until it is let go, and tells what happened to it."""

    suffix: str = ".txt"
    started: dict[str, Report] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    let_go: anyio.Event = field(default_factory=anyio.Event)

    @asynccontextmanager
    async def render(self, job: RenderJob, report: Report, /) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.started[job.video_id] = report
        try:
            await self.let_go.wait()
            yield _chunks()
        except anyio.get_cancelled_exc_class():
            self.stopped.append(job.video_id)
            raise

    async def has(self, number: int) -> bool:
        return len(self.started) >= number


async def _chunks() -> AsyncGenerator[bytes]:
    yield b"held "
    yield b"and let go"


@dataclass
class Failing:
    """A renderer that fails at one script, and echoes every other."""

    error: Exception
    suffix: str = ".txt"
    calls: int = 0

    @asynccontextmanager
    async def render(self, job: RenderJob, report: Report, /) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.calls += 1
        if "fail" in job.script:
            raise self.error
        yield _chunks()


async def test_a_script_becomes_a_video_on_the_disk(
    here: World, queue: RenderQueue, ada: User, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("files")
    id = await here.order(ada)
    async with (
        file_store(root) as files,
        render_worker(queue, storyboard_renderer(seconds_per_caption=0), files, here.bell),
    ):
        video = await ended(here, ada, id)
    assert ("done", f"videos/{id}.svg") == (video.status, video.file)
    written = (root / "videos" / f"{id}.svg").read_text()
    assert "Hello, world." in written
    assert len(written.encode()) == video.size


async def test_an_order_wakes_the_worker_of_its_process(here: World, queue: RenderQueue, ada: User) -> None:
    async with render_worker(queue, Echo(), here.shelf, here.bell, at_once=1, poll_interval=NEVER):
        for _ in range(3):
            assert (await ended(here, ada, await here.order(ada))).status == "done"
    assert list(here.shelf.content.values()) == [b"Hello, world."] * 3


async def test_an_order_of_another_process_is_found(here: World, queue: RenderQueue, ada: User) -> None:
    async with render_worker(queue, Echo(), here.shelf, Bell(), poll_interval=OFTEN):
        assert (await ended(here, ada, await here.order(ada))).status == "done"


async def test_so_many_are_rendered_at_once_and_no_more(here: World, queue: RenderQueue, ada: User) -> None:
    ids = [await here.order(ada) for _ in range(3)]
    renderer = Held()
    async with render_worker(queue, renderer, here.shelf, here.bell, at_once=2, poll_interval=OFTEN) as worker:
        await until(lambda: renderer.has(2))
        assert ids[:2] == sorted(renderer.started)
        assert QueueCounts(queued=1, rendering=2) == await queue.counts()
        assert isinstance(worker, Checked)
        health = await worker.health()
        assert (health.status, health.kind) == ("pass", "service")
        assert health.figures == {"queued": 1, "rendering": 2, "rendered": 0, "failed": 0, "lost": 0}
        renderer.let_go.set()
        for id in ids:
            await ended(here, ada, id)
        assert worker.stats()["rendered"] == 3


async def test_progress_is_seen_while_it_is_rendered(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    renderer = Held()
    steps = watch_videos(here.database, here.bell, poll_interval=OFTEN)(id)
    async with render_worker(queue, renderer, here.shelf, here.bell):
        await until(lambda: renderer.has(1))
        renderer.started[id](30)
        with anyio.fail_after(20):
            while (await anext(steps)).progress != 30:
                continue
        renderer.let_go.set()
        with anyio.fail_after(20):
            assert [step.status async for step in steps] == ["done"]


async def test_a_renderer_that_breaks_fails_its_job_alone_and_keeps_its_secrets(
    here: World, queue: RenderQueue, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    bad = (await here.videos.create(ada, title="x", script="fail", avatar_id="amelia")).id
    good = await here.order(ada)
    renderer = Failing(KeyError("the password of the renderer"))
    async with render_worker(queue, renderer, here.shelf, here.bell, at_once=1) as worker:
        failed = await ended(here, ada, bad)
        assert (await ended(here, ada, good)).status == "done"
        assert worker.stats() == {"rendered": 1, "failed": 1, "lost": 0}
    assert failed.status == "failed"
    assert failed.error == "The renderer could not make this video; the cause is in the service's log."
    assert "the password of the renderer" in caplog.text


async def test_a_renderer_may_tell_the_user_why(here: World, queue: RenderQueue, ada: User) -> None:
    id = (await here.videos.create(ada, title="x", script="fail", avatar_id="amelia")).id
    async with render_worker(queue, Failing(RenderFailed("No voice speaks Klingon.")), here.shelf, here.bell):
        assert (await ended(here, ada, id)).error == "No voice speaks Klingon."


async def test_a_video_too_large_for_the_store_fails_at_once(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    here.shelf.failure = FileTooLarge("at most 10 bytes")
    async with render_worker(queue, Echo(), here.shelf, here.bell):
        assert (await ended(here, ada, id)).status == "failed"


@pytest.mark.parametrize("failure", [Unavailable("the disk is away"), FileError("the disk is full"), OSError()])
async def test_what_is_away_for_a_while_only_puts_a_job_off(
    here: World, queue: RenderQueue, ada: User, failure: Exception
) -> None:
    id = await here.order(ada)
    here.shelf.failure = failure

    async def put_off() -> bool:
        video = await here.videos.get(ada, id)
        return video.status == "queued" and video.error is not None

    async with render_worker(queue, Echo(), here.shelf, here.bell, poll_interval=OFTEN):
        await until(put_off)
        here.shelf.failure = None
        here.clock.turn(delay(1).total_seconds())
        video = await ended(here, ada, id)
    assert (video.status, video.error) == ("done", None)


async def test_a_worker_that_is_closed_gives_its_jobs_back_and_the_next_one_does_them(
    here: World, queue: RenderQueue, ada: User
) -> None:
    ids = [await here.order(ada) for _ in range(3)]
    renderer = Held()
    async with render_worker(queue, renderer, here.shelf, here.bell):
        await until(lambda: renderer.has(2))
    assert ids[:2] == sorted(renderer.stopped)
    assert QueueCounts(queued=3, rendering=0) == await queue.counts()
    assert here.shelf.content == {}
    async with render_worker(queue, Echo(), here.shelf, here.bell):
        assert [(await ended(here, ada, id)).status for id in ids] == ["done"] * 3


async def test_a_worker_cancelled_from_outside_gives_its_jobs_back_too(
    here: World, queue: RenderQueue, ada: User
) -> None:
    await here.order(ada)
    renderer = Held()
    with anyio.CancelScope() as scope:
        async with render_worker(queue, renderer, here.shelf, here.bell):
            await until(lambda: renderer.has(1))
            scope.cancel()
            await anyio.sleep_forever()
    assert QueueCounts(queued=1, rendering=0) == await queue.counts()


async def test_a_process_that_is_killed_loses_no_job(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    assert await queue.claim() is not None  # and never a word again
    async with render_worker(queue, Echo(), here.shelf, here.bell, poll_interval=OFTEN):
        here.clock.turn(queue.limits.lease)
        assert (await ended(here, ada, id)).status == "done"


async def test_a_video_deleted_while_it_is_rendered_stops_and_stays_deleted(
    here: World, queue: RenderQueue, ada: User
) -> None:
    id = await here.order(ada)
    renderer = Held()
    async with render_worker(queue, renderer, here.shelf, here.bell) as worker:
        await until(lambda: renderer.has(1))
        await here.videos.delete(ada, id)
        renderer.started[id](50)  # the keeper writes it down, and learns that the video is gone

        async def lost() -> bool:
            return worker.stats()["lost"] == 1

        await until(lost)
        assert [id] == renderer.stopped
        assert (await after_letting_go(here, ada, renderer)).status == "done"
    assert [name for name in here.shelf.content if id in name] == []
    assert len((await here.videos.page(ada)).items) == 1


async def after_letting_go(here: World, user: User, renderer: Held) -> Video:
    renderer.let_go.set()
    return await ended(here, user, await here.order(user))


async def test_a_video_deleted_as_it_is_finished_leaves_no_file(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    renderer = Held()
    async with render_worker(queue, renderer, here.shelf, here.bell) as worker:
        await until(lambda: renderer.has(1))
        await here.videos.delete(ada, id)
        renderer.let_go.set()

        async def lost() -> bool:
            return worker.stats()["lost"] == 1 and not here.shelf.content

        await until(lost)
    assert here.shelf.content == {}


async def test_who_lost_a_job_to_another_leaves_the_file_alone(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    renderer = Held()
    async with render_worker(queue, renderer, here.shelf, here.bell, at_once=1, poll_interval=NEVER) as worker:
        await until(lambda: renderer.has(1))
        here.clock.turn(queue.limits.lease)
        claim = await queue.claim()
        assert claim is not None
        await here.shelf.put(f"videos/{id}.txt", b"the other's")
        assert await queue.complete(claim, f"videos/{id}.txt", 11)
        renderer.started[id](50)

        async def lost() -> bool:
            return worker.stats()["lost"] == 1

        await until(lost)
    assert {f"videos/{id}.txt": b"the other's"} == here.shelf.content
    assert (await here.videos.get(ada, id)).status == "done"


@dataclass
class Flaky:
    """A queue that answers with an error as often as it is told to, for one of its methods."""

    queue: RenderQueue
    method: str
    errors: list[HeykitError]
    calls: int = 0
    answers: anyio.Event | None = None  # when the method's answer, which has taken effect, arrives
    took_effect: anyio.Event = field(default_factory=anyio.Event)

    @property
    def limits(self) -> Limits:
        return self.queue.limits

    def _called(self, method: str) -> None:
        if method == self.method:
            self.calls += 1
            if self.errors:
                raise self.errors.pop()

    async def _answered(self, method: str) -> None:
        if method == self.method and self.answers is not None:
            self.took_effect.set()
            await self.answers.wait()

    async def claim(self) -> Claim | None:
        self._called("claim")
        claim = await self.queue.claim()
        await self._answered("claim")
        return claim

    async def progress(self, claim: Claim, percent: int, /) -> bool:
        self._called("progress")
        return await self.queue.progress(claim, percent)

    async def complete(self, claim: Claim, file: str, size: int, /) -> bool:
        self._called("complete")
        await self._answered("complete")
        return await self.queue.complete(claim, file, size)

    async def fail(self, claim: Claim, reason: str, /) -> bool:
        return await self.queue.fail(claim, reason)

    async def put_off(self, claim: Claim, reason: str, /) -> bool:
        return await self.queue.put_off(claim, reason)

    async def release(self, claim: Claim, /) -> bool:
        self._called("release")
        return await self.queue.release(claim)

    async def is_gone(self, claim: Claim, /) -> bool:
        return await self.queue.is_gone(claim)

    async def counts(self) -> QueueCounts:
        self._called("counts")
        return await self.queue.counts()


@pytest.mark.parametrize("method", ["claim", "complete"])
async def test_a_database_that_is_away_is_waited_for_logged_once_and_no_work_done_twice(
    here: World, queue: RenderQueue, ada: User, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "heykit.heygen")
    id = await here.order(ada)
    flaky = Flaky(queue, method, [Unavailable("the database is away") for _ in range(3)])
    renderer = Echo()
    async with render_worker(flaky, renderer, here.shelf, here.bell, at_once=1, poll_interval=OFTEN):
        assert (await ended(here, ada, id)).status == "done"
        await until(lambda: said(caplog, "the queue is back"))
    assert caplog.text.count("rendering waits, the queue is away: the database is away") == 1
    assert [id] == renderer.rendered


async def test_rendering_goes_on_while_its_progress_cannot_be_written(
    here: World, queue: RenderQueue, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    id = await here.order(ada)
    renderer = Held()
    flaky = Flaky(queue, "progress", [Unavailable("the database is away") for _ in range(3)])
    async with render_worker(flaky, renderer, here.shelf, here.bell, poll_interval=OFTEN):
        await until(lambda: renderer.has(1))
        renderer.started[id](50)
        await until(lambda: said(caplog, "the queue is away"))
        renderer.let_go.set()
        assert (await ended(here, ada, id)).status == "done"
    assert renderer.stopped == []


async def test_a_renewal_that_breaks_ends_its_job_alone(
    here: World, queue: RenderQueue, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    id = await here.order(ada)
    renderer = Held()
    flaky = Flaky(queue, "progress", [DatabaseError("no such column")])
    async with render_worker(flaky, renderer, here.shelf, here.bell, at_once=1, poll_interval=OFTEN):
        await until(lambda: renderer.has(1))
        renderer.started[id](50)
        await until(lambda: said(caplog, "goes on"))
        assert [id] == renderer.stopped
        assert (await after_letting_go(here, ada, renderer)).status == "done"


async def said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return words in caplog.text


@pytest.mark.parametrize("method", ["claim", "complete"])
async def test_an_error_nobody_expected_is_logged_and_the_worker_goes_on(
    here: World, queue: RenderQueue, ada: User, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    await here.order(ada)
    flaky = Flaky(queue, method, [DatabaseError("no such column")])
    async with render_worker(flaky, Echo(), here.shelf, here.bell, at_once=1, poll_interval=OFTEN):
        await until(lambda: said(caplog, "goes on"))
        assert (await ended(here, ada, await here.order(ada))).status == "done"
    assert "no such column" in caplog.text


async def test_a_job_that_cannot_be_given_back_waits_for_its_lease(
    here: World, queue: RenderQueue, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    id = await here.order(ada)
    renderer = Held()
    flaky = Flaky(queue, "release", [Unavailable("the database is away")])
    async with render_worker(flaky, renderer, here.shelf, here.bell):
        await until(lambda: renderer.has(1))
    assert "waits for its lease to run out: the database is away" in caplog.text
    here.clock.turn(queue.limits.lease)
    claim = await queue.claim()
    assert claim is not None
    assert id == claim.job.video_id


async def test_a_lease_is_renewed_while_a_renderer_says_nothing(here: World, ada: User) -> None:
    queue = render_queue(here.database, here.bell, lease=3 * OFTEN, now=here.clock)
    spy = Flaky(queue, "progress", [])
    await here.order(ada)
    async with render_worker(spy, Held(), here.shelf, here.bell):

        async def renewed() -> bool:
            return spy.calls >= 3

        await until(renewed)


async def closed_in_the_middle_of(here: World, queue: RenderQueue, method: str) -> None:
    """Close a worker while its queue is about to answer."""
    flaky = Flaky(queue, method, [], answers=anyio.Event())

    async def answer() -> None:
        await anyio.wait_all_tasks_blocked()
        assert flaky.answers is not None
        flaky.answers.set()

    async with anyio.create_task_group() as tasks, render_worker(flaky, Echo(), here.shelf, here.bell, at_once=1):
        with anyio.fail_after(20):
            await flaky.took_effect.wait()
        tasks.start_soon(answer)


async def test_a_job_claimed_while_the_worker_is_closed_is_given_back(
    here: World, queue: RenderQueue, ada: User
) -> None:
    await here.order(ada)
    await closed_in_the_middle_of(here, queue, "claim")
    assert await queue.counts() == QueueCounts(queued=1, rendering=0)


async def test_a_job_finished_while_the_worker_is_closed_is_done(here: World, queue: RenderQueue, ada: User) -> None:
    id = await here.order(ada)
    await closed_in_the_middle_of(here, queue, "complete")
    assert (await here.videos.get(ada, id)).status == "done"


async def test_health_warns_when_the_queue_is_away(here: World, queue: RenderQueue) -> None:
    flaky = Flaky(queue, "counts", [Unavailable("the database is away")])
    async with render_worker(flaky, Echo(), here.shelf, here.bell) as worker:
        health = await worker.health()
    assert (health.status, health.kind) == ("warn", "service")
    assert health.reason == "the queue cannot be read, rendering waits: the database is away"


async def test_what_the_block_raises_leaves_as_it_is(here: World, queue: RenderQueue) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with render_worker(queue, Echo(), here.shelf, here.bell):
            raise KeyError("mine")


async def test_settings_that_make_no_sense_are_refused(here: World, queue: RenderQueue) -> None:
    with pytest.raises(ValueError, match="at_once"):
        render_worker(queue, Echo(), here.shelf, here.bell, at_once=0)
    with pytest.raises(ValueError, match="poll_interval"):
        render_worker(queue, Echo(), here.shelf, here.bell, poll_interval=0)
