"""What follows a commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

Call = Callable[[], Awaitable[object]]
_log = logging.getLogger("heykit.database")


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
