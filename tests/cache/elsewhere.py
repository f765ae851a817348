"""Another process with the same cache. It reads one order a line, JSON, and answers each with one line of JSON.

["race", names, value]    reads the names for a while, setting some of them to the value at moments of its own
["values", names]         what it gets for them
["ask", many, id]         calls `load(id)` so many times at once
["seen", name, value]     waits until it gets the value, and says when that was, on the clock all processes share
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import cast

from heykit.cache import Cache, cached, hybrid_cache, json_codec
from heykit.resources import Redis, redis_client

PREFIX = "elsewhere:"


class Process:
    """One process's cache, and what it can be told to do with it."""

    def __init__(self, redis: Redis, cache: Cache[int]) -> None:
        self.redis = redis
        self.cache = cache
        self.load = cached(cache, ttl=60, key=lambda id: f"load:{id}")(self._load)

    async def _load(self, id: int) -> int:
        await self.redis.execute("RPUSH", f"loads:{id}", os.getpid())
        await asyncio.sleep(0.3)
        return id

    async def race(self, names: Sequence[str], value: int) -> None:
        chance = random.Random(value)

        async def reads(name: str) -> None:
            for _ in range(10):
                await self.cache.get(name)
                await asyncio.sleep(chance.random() * 0.01)

        async def writes(name: str) -> None:
            await asyncio.sleep(chance.random() * 0.1)
            await (self.cache.delete(name) if chance.random() < 0.1 else self.cache.set(name, value))

        async with asyncio.TaskGroup() as tasks:
            for name in names:
                tasks.create_task(reads(name))
                if chance.random() < 0.7:
                    tasks.create_task(writes(name))

    async def values(self, names: Sequence[str]) -> list[int | None]:
        return [await self.cache.get(name) for name in names]

    async def ask(self, many: int, id: int) -> list[int]:
        return await asyncio.gather(*(self.load(id) for _ in range(many)))

    async def seen(self, name: str, value: int) -> float:
        while await self.cache.get(name) != value:
            await asyncio.sleep(0)
        return time.monotonic()


@asynccontextmanager
async def here(url: str) -> AsyncGenerator[Process]:
    async with (
        redis_client(url, max_connections=20, connection_timeout=5) as redis,
        hybrid_cache(redis, json_codec(int), prefix=PREFIX) as cache,
    ):
        yield Process(redis, cache)


class Elsewhere:
    """A process that was started, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def do(self, *order: object) -> object:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        await self.process.stdin.drain()
        return json.loads(await self.process.stdout.readline())


@asynccontextmanager
async def elsewhere(url: str) -> AsyncGenerator[Elsewhere]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.cache.elsewhere", url, stdin=pipe, stdout=pipe
    )
    try:
        other = Elsewhere(process)
        assert await other.do("values", []) == []
        yield other
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def main(url: str) -> None:
    async with here(url) as process:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order, *arguments = cast("list[object]", json.loads(line))
            said = await getattr(process, str(order))(*arguments)
            print(json.dumps(said), flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
