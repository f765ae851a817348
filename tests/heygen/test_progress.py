from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar, cast

import anyio
import pytest

from heykit.database import Database
from heykit.errors import Unavailable
from heykit.heygen import Bell, Progress, RenderQueue, User, render_queue, watch_videos
from heykit.heygen.queue import Claim
from tests.heygen.world import World

T = TypeVar("T")
NEVER, OFTEN = 3600.0, 0.01  # seconds between polls


async def claimed(queue: RenderQueue) -> Claim:
    claim = await queue.claim()
    assert claim is not None
    return claim


async def next_of(steps: AsyncGenerator[T]) -> T:
    with anyio.fail_after(10):
        return await anext(steps)


async def rest_of(steps: AsyncGenerator[T]) -> list[T]:
    with anyio.fail_after(10):
        return [step async for step in steps]


@pytest.mark.parametrize("same_process", [True, False])
async def test_a_watcher_sees_each_change_until_the_video_is_done(here: World, ada: User, same_process: bool) -> None:
    bell = here.bell if same_process else Bell()
    queue = render_queue(here.database, bell, now=here.clock)
    id = await here.order(ada)
    steps = watch_videos(here.database, here.bell, poll_interval=NEVER if same_process else OFTEN)(id)
    assert Progress("queued", 0) == await next_of(steps)
    claim = await claimed(queue)
    assert Progress("rendering", 0) == await next_of(steps)
    await queue.progress(claim, 40)
    assert Progress("rendering", 40) == await next_of(steps)
    await queue.complete(claim, "x", 1)
    assert [Progress("done", 100)] == await rest_of(steps)


async def test_a_watcher_who_waits_is_woken(here: World, ada: User) -> None:
    queue = render_queue(here.database, here.bell, now=here.clock)
    steps = watch_videos(here.database, here.bell, poll_interval=NEVER)(await here.order(ada))
    await next_of(steps)
    found: list[list[Progress]] = []

    async def watch() -> None:
        found.append(await rest_of(steps))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await anyio.wait_all_tasks_blocked()
        await queue.fail(await claimed(queue), "no voice")
    assert Progress("failed", 0) == found[0][-1]


@pytest.mark.parametrize("same_process", [True, False])
async def test_watching_ends_with_the_video(here: World, ada: User, same_process: bool) -> None:
    id = await here.order(ada)
    bell = here.bell if same_process else Bell()
    steps = watch_videos(here.database, bell, poll_interval=NEVER if same_process else OFTEN)(id)
    await next_of(steps)
    await here.videos.delete(ada, id)
    assert await rest_of(steps) == []


async def test_watching_nothing_ends_at_once(here: World) -> None:
    assert await rest_of(watch_videos(here.database, here.bell)("0" * 32)) == []


async def test_who_leaves_is_forgotten(here: World, ada: User) -> None:
    watch = watch_videos(here.database, here.bell, poll_interval=NEVER)
    id = await here.order(ada)
    waiting = watch(id)
    await next_of(waiting)
    with anyio.move_on_after(0.01):
        await anext(waiting)
    assert here.bell.listeners() == 0
    suspended = watch(id)
    await next_of(suspended)
    assert here.bell.listeners() == 1
    await suspended.aclose()
    assert here.bell.listeners() == 0


class Away:
    """A database that is away now and then: True is an answer, False none."""

    def __init__(self, database: Database, answers: list[bool]) -> None:
        self._database = database
        self._answers = answers

    async def fetch_one(self, sql: str, *args: object, into: type[T]) -> T | None:
        if self._answers and not self._answers.pop(0):
            raise Unavailable("the database is away")
        return await self._database.fetch_one(sql, *args, into=into)


async def test_watching_goes_on_when_the_database_is_back(here: World, ada: User) -> None:
    queue = render_queue(here.database, Bell(), now=here.clock)
    id = await here.order(ada)
    away = cast("Database", Away(here.database, [False, True, False, False]))
    steps = watch_videos(away, here.bell, poll_interval=OFTEN)(id)
    assert Progress("queued", 0) == await next_of(steps)
    await queue.fail(await claimed(queue), "no voice")
    assert [Progress("failed", 0)] == await rest_of(steps)
