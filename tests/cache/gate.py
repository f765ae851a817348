"""A way to Redis that can be shut, and that counts what goes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from heykit.errors import RedisError, Unavailable
from heykit.resources import Invalidated, Lost, Redis, Resumed


class Gate:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.is_shut = False
        self.refused: set[str] = set()
        self.asked: list[str] = []
        self.holds = asyncio.Event()
        self.holds.set()
        self.held_after = asyncio.Event()
        self.held_after.set()

    async def execute(self, *command: str | bytes | float) -> object:
        name = str(command[0])
        self.asked.append(name)
        if self.is_shut:
            raise Unavailable("Redis is away")
        if name in self.refused:
            raise RedisError(f"{name} is refused")
        await self.holds.wait()
        reply = await self.redis.execute(*command)
        await self.held_after.wait()
        return reply

    def invalidations(self, *prefixes: str) -> AbstractAsyncContextManager[AsyncIterator[Invalidated | Lost | Resumed]]:
        return self.redis.invalidations(*prefixes)


class Deaf:
    """A way to Redis that tells of no change, so that only one connection listens."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def execute(self, *command: str | bytes | float) -> object:
        return await self.redis.execute(*command)


async def until(condition: object, seconds: float = 5.0) -> None:
    """Wait until a function says yes."""
    assert callable(condition)
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.001)
