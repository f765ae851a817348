"""Rows that have had their time, taken out a few at a time by whoever comes by."""

from __future__ import annotations

import logging
from typing import Final

from heykit.errors import HeykitError
from heykit.security.protocol import Statements

_AT_ONCE: Final = 3  # more than one login adds

logger = logging.getLogger("heykit.security")


async def swept(database: Statements, sweep: str, now: float) -> None:
    """Delete rows that ended before `now` by a statement that deletes one; its failing harms nobody."""
    try:
        for _ in range(_AT_ONCE):
            if not await database.execute(sweep, now):
                return
    except HeykitError as error:
        logger.warning("rows that have had their time stay for now: %s", error)
