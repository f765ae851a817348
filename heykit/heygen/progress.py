"""How far a video is, as it goes: for server-sent events, or anyone who waits."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from heykit.database.protocol import Database
from heykit.errors import Unavailable
from heykit.heygen.bell import Bell
from heykit.heygen.videos import Status

__all__ = ["Progress", "Watch", "watch_videos"]


@dataclass(frozen=True)
class Progress:
    """Where a video stands; `progress` is in percent, and 100 only when it is done."""

    status: Status
    progress: int


class Watch(Protocol):
    """Watches one video after another."""

    def __call__(self, video_id: str, /) -> AsyncGenerator[Progress]:
        """Give a video's progress now, then each change; end when it is done, failed or deleted.

        It may be left at any point; one that is left while it gives a value is closed with `aclose`, or by the loop.
        """
        ...


def watch_videos(database: Database, bell: Bell, *, poll_interval: float = 1.0) -> Watch:
    """Give a way to watch videos: at once for what this process renders, every `poll_interval` seconds for the rest."""

    async def watch(video_id: str, /) -> AsyncGenerator[Progress]:
        seen: Progress | None = None
        with bell.listening(video_id) as change:
            while True:
                try:
                    found = await _read(database, video_id)
                except Unavailable:
                    found = seen  # a database that comes back is worth the wait
                else:
                    if found is None:
                        return
                if found is not None and found != seen:
                    seen = found
                    yield found
                    if found.status in ("done", "failed"):
                        return
                await change.wait(poll_interval)

    return watch


async def _read(database: Database, video_id: str) -> Progress | None:
    return await database.fetch_one("SELECT status, progress FROM videos WHERE id = $1", video_id, into=Progress)
