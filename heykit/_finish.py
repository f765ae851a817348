"""Work that a cancellation must not cut in two: a commit with what follows it, a roll-back, a release."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import anyio

T = TypeVar("T")


async def finish(work: Coroutine[object, object, T]) -> T:
    """Await `work` to its end in a task of its own; a cancellation that comes meanwhile is raised afterwards.

    A shielded scope alone stops only anyio's cancellation: `asyncio.timeout` and `Task.cancel` go through it.
    """
    task = asyncio.get_running_loop().create_task(work)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is not None:
        raise cancelled from (None if task.cancelled() else task.exception())
    return task.result()
