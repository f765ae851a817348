"""Two processes and more, over one Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from typing import cast

import pytest

from heykit.cache import json_codec, redis_cache
from tests.cache.elsewhere import PREFIX, Elsewhere, elsewhere, here


async def test_after_three_hundred_races_both_see_what_redis_holds(redis_url: str) -> None:
    names = [f"race{number}" for number in range(300)]
    async with here(redis_url) as process, elsewhere(redis_url) as other:
        await process.cache.set_many(dict.fromkeys(names, 0))
        await asyncio.gather(process.race(names, 1), other.do("race", names, 2))
        await asyncio.sleep(1)
        async with redis_cache(process.redis, json_codec(int), prefix=PREFIX) as plain:
            found = await plain.get_many(names)
        true = [found.get(name) for name in names]

        assert await process.values(names) == true
        assert await other.do("values", names) == true
        assert set(true) == {0, 1, 2, None}


async def test_a_thousand_callers_in_four_processes_are_one_load(redis_url: str) -> None:
    async with here(redis_url) as process, AsyncExitStack() as stack:
        others = [await stack.enter_async_context(elsewhere(redis_url)) for _ in range(4)]
        answers = await asyncio.gather(*(other.do("ask", 250, 7) for other in others))

        assert answers == [[7] * 250] * 4
        assert await process.redis.execute("LLEN", "loads:7") == 1


async def test_when_whoever_loads_is_killed_one_other_does(redis_url: str) -> None:
    async with here(redis_url) as process, AsyncExitStack() as stack:
        others = [await stack.enter_async_context(elsewhere(redis_url)) for _ in range(3)]
        asking = [asyncio.create_task(other.do("ask", 250, 7)) for other in others]
        while not (pids := cast("list[bytes]", await process.redis.execute("LRANGE", "loads:7", 0, -1))):
            await asyncio.sleep(0.005)
        killed = index_of(int(pids[0]), others)
        os.kill(int(pids[0]), signal.SIGKILL)

        for at, task in enumerate(asking):
            if at == killed:
                with pytest.raises(ValueError, match="Expecting value"):  # it has said nothing
                    await task
            else:
                assert await task == [7] * 250
        assert await process.redis.execute("LLEN", "loads:7") == 2


def index_of(pid: int, others: list[Elsewhere]) -> int:
    return [other.process.pid for other in others].index(pid)
