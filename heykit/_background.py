"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager

from heykit._finish import finish

logger = logging.getLogger("heykit")


@asynccontextmanager
async def beside(*works: Callable[[], Coroutine[object, object, None]]) -> AsyncGenerator[None]:
    """Do work for as long as the block lasts, in tasks of their own. What it raises is logged, and ends it alone."""
    tasks = [asyncio.get_running_loop().create_task(work()) for work in works]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        if tasks:
            await finish(asyncio.wait(tasks))


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("work in the background has ended", exc_info=error)
