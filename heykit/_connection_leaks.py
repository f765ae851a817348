"""Connections that are held for too long: said once for each, with the place it was taken at."""

from __future__ import annotations

import asyncio
import logging
import math
import sysconfig
import traceback
from pathlib import Path
from typing import Final

logger = logging.getLogger("heykit.connections")
_OURS: Final = str(Path(__file__).parent)
_STDLIB: Final = sysconfig.get_path("stdlib")


class Leaks:
    """Watches what is lent. `after` seconds a warning is logged; infinity watches nothing, and costs nothing."""

    def __init__(self, after: float) -> None:
        self._after = after
        self._watched: dict[object, asyncio.TimerHandle] = {}

    def lent(self, connection: object) -> None:
        if not math.isinf(self._after):
            handle = asyncio.get_running_loop().call_later(self._after, self._report, connection, _place())
            self._watched[connection] = handle

    def returned(self, connection: object) -> None:
        if self._watched and (handle := self._watched.pop(connection, None)) is not None:
            handle.cancel()

    def _report(self, connection: object, place: str) -> None:
        self._watched.pop(connection, None)
        logger.warning("a connection has been held for %g s, and still is: it was taken %s", self._after, place)


def _place() -> str:
    """Name the innermost line of a program's own code: not of heykit, nor of the libraries it is called through."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith(_OURS) and not _is_installed(frame.filename):
            return f"at {frame.filename}:{frame.lineno}, in {frame.name}"
    return "by a task that nothing of the program's own stands above"


def _is_installed(filename: str) -> bool:
    return filename.startswith((_STDLIB, "<")) or "site-packages" in filename
