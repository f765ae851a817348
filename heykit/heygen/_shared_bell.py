"""A bell that is heard in every process, over the channels of Redis."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio

from heykit._background import beside
from heykit.errors import HeykitError
from heykit.heygen.bell import Bell, Signal
from heykit.resources import Message, Redis, Resumed

__all__ = ["shared_bell"]

CHANNEL: Final = "heygen:bell"
_PAUSE: Final = 1.0  # seconds after Redis could not be reached
_WAIT: Final = 3600.0  # seconds; whoever rings ends it

logger: Final = logging.getLogger("heykit.heygen")


@asynccontextmanager
async def shared_bell(redis: Redis) -> AsyncGenerator[Bell]:
    """Open a bell: what is rung here is heard in all processes that share the Redis.

    While Redis is away it is heard in this process alone, and the others see what changed at their next poll; once it
    is back all are rung, for anything may have been missed.
    """
    pending: set[str] = set()
    rung = Signal()

    def tell(name: str) -> None:
        pending.add(name)
        rung.give()

    bell = Bell(tell, redis.health)
    async with beside(partial(_publish, redis, pending, rung), partial(_listen, redis, bell)):
        yield bell


async def _publish(redis: Redis, pending: set[str], rung: Signal) -> None:
    while True:
        await rung.wait(_WAIT)
        names = sorted(pending)
        pending.clear()
        try:
            # Heard once more than rung, it does no harm.
            await redis.execute_many([("PUBLISH", CHANNEL, name) for name in names], idempotent=True)
        except HeykitError as error:
            logger.warning("other processes do not hear what changed: %s", error)


async def _listen(redis: Redis, bell: Bell) -> None:
    while True:
        try:
            async with redis.subscribe(CHANNEL) as feed:
                async for event in feed:
                    if isinstance(event, Message):
                        bell.ring_here(event.data.decode(errors="replace"))
                    elif isinstance(event, Resumed):
                        bell.ring_all_here()
        except HeykitError as error:
            logger.warning("what other processes change is not heard: %s", error)
        await anyio.sleep(_PAUSE)
