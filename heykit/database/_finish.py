"""Work that a cancellation must not cut in two: a commit with what follows it, a roll-back, a release."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import anyio

T = TypeVar("T")
Call = Callable[[], Awaitable[object]]
_log = logging.getLogger("heykit.database")


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


async def run_all(calls: list[Call], time_limit: float) -> int:
    """Run each call within `time_limit` seconds; log those that fail and give their number."""
    failed = 0
    for call in calls:
        try:
            async with asyncio.timeout(time_limit):
                await call()
        except Exception:  # noqa: BLE001 - the commit stands whatever a call raises
            failed += 1
            _log.exception("a call after the commit failed; the commit stands")
    return failed
