"""Work that goes on beside a block, and ends with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager

import anyio


@asynccontextmanager
async def beside(*works: Callable[[], Coroutine[object, object, None]]) -> AsyncGenerator[None]:
    """Do work for as long as the block lasts. The work itself must raise nothing."""
    if not works:
        yield
        return
    try:
        async with anyio.create_task_group() as tasks:
            for work in works:
                tasks.start_soon(work)
            yield
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        # The task group's wrapping of the block's own error, which is to leave as it is.
        raise group.exceptions[0] from None
