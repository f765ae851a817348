"""Two processes that ask and change as they like, over ways to Redis that are slow, and cut at random moments."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import pytest

from heykit.cache import Cache, Cached, cached, hybrid_cache, invalidate_tags, json_codec, redis_cache
from heykit.errors import Unavailable
from heykit.resources import Redis, redis_client
from tests.cache.gate import Gate

Opening: TypeAlias = Callable[..., AbstractAsyncContextManager[Cache[int]]]
IDS = range(6)
SECONDS = 1.5


class Rough(Gate):
    """Each command may take a while on its way, and so may its answer; what is cut meanwhile has been done or not."""

    def __init__(self, redis: Redis, chance: random.Random) -> None:
        super().__init__(redis)
        self.chance = chance

    async def execute(self, *command: str | bytes | float) -> object:
        await asyncio.sleep(self.chance.choice([0, self.chance.random() * 0.003]))
        reply = await super().execute(*command)
        await asyncio.sleep(self.chance.choice([0, self.chance.random() * 0.003]))
        if self.is_shut:
            raise Unavailable("cut")
        return reply


class Truth:
    """The number of each id that is true now."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = dict.fromkeys(IDS, 0)
        self.locks = {id: asyncio.Lock() for id in IDS}

    async def read(self, id: int) -> int:
        found = self.now[id]
        await asyncio.sleep(self.chance.random() * 0.01)
        return found


def key_of(id: int) -> str:
    return f"number{id}"


def tags_of(id: int) -> tuple[str, ...]:
    return (f"tag{id}",)


class Process:
    def __init__(self, truth: Truth, gate: Rough, cache: Cache[int], ttl: float) -> None:
        self.truth = truth
        self.gate = gate
        self.cache = cache
        self.told = dict.fromkeys(IDS, 0)
        self.find: Cached[[int], int] = cached(cache, ttl=ttl, key=key_of, tags=tags_of)(truth.read)

    async def change(self, id: int) -> None:
        async with self.truth.locks[id]:
            self.truth.now[id] = number = self.truth.now[id] + 1
            if self.truth.chance.random() < 0.5:
                await self.find.invalidate(id)
            else:
                await invalidate_tags(self.cache, f"tag{id}")
            self.told[id] = number


@asynccontextmanager
async def process(url: str, opening: Opening, truth: Truth) -> AsyncGenerator[Process]:
    async with redis_client(url, max_connections=30) as redis:
        gate = Rough(redis, truth.chance)
        async with opening(gate, json_codec(int), prefix="a:", timeout=0.5) as cache:
            yield Process(truth, gate, cache, truth.chance.choice([0.05, 1, 60]))


async def asks(processes: list[Process], until: float, *, is_cut: bool) -> None:
    truth = processes[0].truth
    while time.monotonic() < until:
        id, asked = truth.chance.choice(IDS), truth.chance.choice(processes)
        # While the way is cut another process may not have been able to tell us. A memory is told a moment later.
        knows = is_cut or asked.cache.stats().size
        least = asked.told[id] if knows else max(each.told[id] for each in processes)
        assert await asked.find(id) >= least
        await asyncio.sleep(truth.chance.random() * 0.004)


async def changes(processes: list[Process], until: float) -> None:
    chance = processes[0].truth.chance
    while time.monotonic() < until:
        await chance.choice(processes).change(chance.choice(IDS))
        await asyncio.sleep(chance.random() * 0.02)


async def cuts(processes: list[Process], until: float) -> None:
    chance = processes[0].truth.chance
    while time.monotonic() < until:
        await asyncio.sleep(chance.random() * 0.3)
        cut = chance.choice([processes, processes[:1], processes[1:]])
        for each in cut:
            each.gate.is_shut = True
        await asyncio.sleep(chance.random() * 0.1)
        for each in cut:
            each.gate.is_shut = False


@pytest.mark.parametrize("is_cut", [False, True])
@pytest.mark.parametrize(
    "openings", [(redis_cache, redis_cache), (hybrid_cache, hybrid_cache), (redis_cache, hybrid_cache)]
)
async def test_nobody_gets_what_was_dropped_before_they_asked(
    redis_url: str, openings: tuple[Opening, Opening], is_cut: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heykit.cache._reach._LOOK_EVERY", 0.002)
    monkeypatch.setattr("heykit.cache._reach._TRUST_AFTER", 0.05)
    truth = Truth(random.Random(7))
    async with process(redis_url, openings[0], truth) as one, process(redis_url, openings[1], truth) as two:
        processes, until = [one, two], time.monotonic() + SECONDS
        async with asyncio.TaskGroup() as tasks:
            for _ in range(20):
                tasks.create_task(asks(processes, until, is_cut=is_cut))
            for _ in range(3):
                tasks.create_task(changes(processes, until))
            if is_cut:
                tasks.create_task(cuts(processes, until))
        await asyncio.sleep(0.5)

        for each in processes:
            assert {id: await each.find(id) for id in IDS} == truth.now
        assert all(each.cache.stats().hits and each.cache.stats().loads for each in processes)
