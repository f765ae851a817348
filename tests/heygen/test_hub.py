"""The progress hub: one look at a video for all streams of a session, and an end to all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator

import anyio
import pytest

from heykit.errors import NotOpen
from heykit.heygen import Progress, TooManyStreams, progress_hub

QUEUED, HALF, DONE = Progress("queued", 0), Progress("rendering", 50), Progress("done", 100)


class Source:
    """A watch whose steps the test gives; it counts who looks."""

    def __init__(self) -> None:
        self.begun: Counter[str] = Counter()
        self.open = 0
        self.closes = anyio.Event()
        self.closes.set()
        self._steps: asyncio.Queue[Progress | Exception] = asyncio.Queue()

    async def watch(self, video_id: str, /) -> AsyncGenerator[Progress]:
        self.begun[video_id] += 1
        self.open += 1
        try:
            while True:
                step = await self._steps.get()
                if isinstance(step, Exception):
                    raise step
                yield step
                if step == DONE:
                    return
        finally:
            with anyio.CancelScope(shield=True):
                await self.closes.wait()
            self.open -= 1

    async def give(self, step: Progress | Exception) -> None:
        self._steps.put_nowait(step)
        await anyio.wait_all_tasks_blocked()


async def rest(steps: AsyncIterator[Progress]) -> list[Progress]:
    return [step async for step in steps]


async def test_two_streams_of_a_video_look_at_it_once_and_who_comes_late_begins_where_it_stands() -> None:
    source = Source()
    async with progress_hub(source.watch) as hub, hub.watching("a") as first:
        await source.give(QUEUED)
        await source.give(HALF)
        assert await anext(first) == HALF
        async with hub.watching("a") as second:
            assert await anext(second) == HALF
            await source.give(DONE)
            assert [await rest(first), await rest(second)] == [[DONE], [DONE]]
    assert source.begun == {"a": 1}


async def test_a_video_that_is_done_is_looked_at_anew() -> None:
    source = Source()
    async with progress_hub(source.watch) as hub:
        for _ in range(2):
            async with hub.watching("a") as steps:
                await source.give(DONE)
                assert await rest(steps) == [DONE]
    assert source.begun == {"a": 2}


async def test_nothing_is_looked_at_when_the_last_has_left() -> None:
    source = Source()
    async with progress_hub(source.watch) as hub:
        async with hub.watching("a"), hub.watching("a"), hub.watching("b"):
            await anyio.wait_all_tasks_blocked()
            assert source.open == 2
        await anyio.wait_all_tasks_blocked()
        assert source.open == 0
        async with hub.watching("a") as again:
            await source.give(DONE)
            assert await rest(again) == [DONE]


async def test_one_stream_too_many_is_refused_and_the_next_is_not() -> None:
    source = Source()
    async with progress_hub(source.watch, limit=2) as hub, hub.watching("a"):
        async with hub.watching("b"):
            with pytest.raises(TooManyStreams, match="2 streams of this session are open"):
                async with hub.watching("c"):
                    pass
        async with hub.watching("c"):
            pass


async def test_the_end_of_the_hub_ends_its_streams() -> None:
    source = Source()
    found: list[list[Progress]] = []
    async with anyio.create_task_group() as tasks, progress_hub(source.watch) as hub:

        async def stream() -> None:
            async with hub.watching("a") as steps:
                found.append(await rest(steps))

        tasks.start_soon(stream)
        await anyio.wait_all_tasks_blocked()
        await source.give(QUEUED)
    assert found == [[QUEUED]]
    assert source.open == 0


async def test_an_error_reaches_those_who_watch_that_video_alone() -> None:
    source = Source()
    async with progress_hub(source.watch) as hub, hub.watching("a") as steps:
        await source.give(ValueError("broken"))
        with pytest.raises(ValueError, match="broken"):
            await anext(steps)
        async with hub.watching("b") as others:
            await source.give(DONE)
            assert await rest(others) == [DONE]


async def test_who_comes_while_the_look_of_those_before_is_given_up_begins_a_new_one() -> None:
    source = Source()
    source.closes = anyio.Event()
    async with progress_hub(source.watch) as hub:
        async with hub.watching("a") as first:
            await source.give(QUEUED)
            assert await anext(first) == QUEUED
        async with hub.watching("a") as second:
            source.closes.set()
            await source.give(DONE)
            assert await rest(second) == [DONE]
    assert source.begun == {"a": 2}


async def test_a_hub_that_is_closed_takes_no_stream() -> None:
    source = Source()
    async with progress_hub(source.watch) as hub:
        pass
    with pytest.raises(NotOpen, match="this session has ended"):
        async with hub.watching("a"):
            pass
