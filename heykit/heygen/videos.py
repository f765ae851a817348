"""Videos: ordered, listed, opened, deleted, counted. What belongs to another user does not exist for this one."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

import anyio

from heykit.cache import Cache, cached
from heykit.database.protocol import Database
from heykit.errors import HeykitError
from heykit.heygen.avatars import Avatar, Catalogue, avatar_by_id, built_in
from heykit.heygen.bell import QUEUE, Bell
from heykit.heygen.errors import Invalid, NotFound, NotReady
from heykit.heygen.forgetting import changing
from heykit.heygen.ids import is_id, new_id
from heykit.heygen.instants import instant
from heykit.heygen.pages import Page, checked_limit, page, place_of
from heykit.heygen.texts import checked_text
from heykit.heygen.users import Owner
from heykit.resources.protocol import FileStore

__all__ = ["Analytics", "Content", "Day", "Status", "Video", "Videos", "bytes_of_page", "video_store"]

Status: TypeAlias = Literal["queued", "rendering", "done", "failed"]

LONGEST_TITLE = 200  # characters
LONGEST_SCRIPT = 5_000  # characters
LONGEST_SPAN = 366  # days
_CLEAN_UP_LIMIT = 5.0  # seconds
_MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {".svg": "image/svg+xml", ".mp4": "video/mp4", ".webm": "video/webm"}
)

_log = logging.getLogger("heykit.heygen")


@dataclass(frozen=True)
class Video:
    """A video from its order on. `progress` is in percent; `file` and `size` (bytes) are known once it is done."""

    id: str
    user_id: str
    title: str
    script: str
    avatar_id: str
    status: Status
    progress: int
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    file: str | None
    size: int | None


@dataclass(frozen=True)
class Content:
    """A finished video, open: its chunks can be read once."""

    video: Video
    media_type: str
    size: int
    chunks: AsyncIterator[bytes]


@dataclass(frozen=True)
class Day:
    """The videos ordered on one day, in UTC."""

    day: date
    videos: int
    by_status: Mapping[Status, int]


@dataclass(frozen=True)
class Analytics:
    """All videos of a user, and the latest days that have any, oldest first."""

    videos: int
    by_status: Mapping[Status, int]
    days: tuple[Day, ...]


@dataclass(frozen=True)
class _Count:
    status: Status
    videos: int


@dataclass(frozen=True)
class _DayCount:
    day: date
    status: Status
    videos: int


class Videos(Protocol):
    """The videos of all users, each asked for with the user whose it is."""

    async def create(self, user: Owner, /, *, title: str, script: str, avatar_id: str) -> Video:
        """Order a video; it is queued, and a worker in this process hears of it. Invalid names the wrong field."""
        ...

    async def page(self, user: Owner, cursor: str | None = None, /, *, limit: int = 20) -> Page[Video]:
        """List videos, newest first. Invalid for a cursor that is none, or a limit outside 1 to 100."""
        ...

    async def get(self, user: Owner, id: str, /) -> Video:
        """Find a video; NotFound where there is none."""
        ...

    def content(self, user: Owner, id: str, /) -> AbstractAsyncContextManager[Content]:
        """Open a video. NotFound where there is none, NotReady before it is done, FileMissing if its file is lost."""
        ...

    async def delete(self, user: Owner, id: str, /) -> None:
        """Delete a video and its file, at any time: who renders it notices and stops. NotFound where there is none."""
        ...

    async def analytics(self, user: Owner, /, *, days: int = 30) -> Analytics:
        """Count videos by status, and by day for the latest `days` days. Invalid for days outside 1 to 366."""
        ...


def video_store(
    database: Database,
    files: FileStore,
    bell: Bell,
    *,
    catalogue: Catalogue = built_in,
    cache: Cache[Page[Video]] | None = None,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Videos:
    """Give the videos of a database that has our tables (`MIGRATIONS`); it needs no closing.

    `catalogue` tells which avatars there are: those of an `avatar_store`, or those built in. Pages are read through
    the cache, which the queue needs too: it forgets those of whose videos change.
    """
    return _Videos(database, files, bell, catalogue, cache, now=now, entropy=entropy)


class _Videos:
    def __init__(
        self,
        database: Database,
        files: FileStore,
        bell: Bell,
        catalogue: Catalogue,
        cache: Cache[Page[Video]] | None,
        *,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._files = files
        self._bell = bell
        self._catalogue = catalogue
        self._cache = cache
        self._page_of = self._page if cache is None else cached(cache, tags=lambda user_id, *_: (user_id,))(self._page)
        self._now = now
        self._entropy = entropy

    async def create(self, user: Owner, /, *, title: str, script: str, avatar_id: str) -> Video:
        title = checked_text("title", title, LONGEST_TITLE)
        script = checked_text("script", script, LONGEST_SCRIPT)
        _check_avatar(avatar_id, await self._catalogue())
        created_at = instant(self._now())
        async with changing(self._cache, user.id):
            added = await self._database.fetch_one(
                "INSERT INTO videos (id, user_id, title, script, avatar_id, status, progress, created_at, created_on,"
                " attempts, due_at) VALUES ($1, $2, $3, $4, $5, 'queued', 0, $6, $7, 0, $6) RETURNING *",
                new_id(self._entropy),
                user.id,
                title,
                script,
                avatar_id,
                created_at,
                created_at.date(),
                into=Video,
            )
        self._bell.ring(QUEUE)
        return _found(added)

    async def page(self, user: Owner, cursor: str | None = None, /, *, limit: int = 20) -> Page[Video]:
        return await self._page_of(user.id, cursor, limit)

    async def _page(self, user_id: str, cursor: str | None, limit: int) -> Page[Video]:
        after = place_of(cursor)
        found = await self._database.fetch(
            "SELECT * FROM videos WHERE user_id = $1 AND (created_at, id) < ($2, $3)"
            " ORDER BY created_at DESC, id DESC LIMIT $4",
            user_id,
            after.created_at,
            after.id,
            checked_limit(limit) + 1,
            into=Video,
        )
        return page(found, limit)

    async def get(self, user: Owner, id: str, /) -> Video:
        return _found(
            await self._database.fetch_one(
                "SELECT * FROM videos WHERE id = $1 AND user_id = $2", _checked(id), user.id, into=Video
            )
        )

    @asynccontextmanager
    async def content(self, user: Owner, id: str, /) -> AsyncGenerator[Content]:
        video = await self.get(user, id)
        if video.file is None or video.size is None:
            reason = f"it failed: {video.error}" if video.status == "failed" else "ask again when it is done"
            raise NotReady(f"the video is {video.status}, {reason}")
        async with self._files.open(video.file) as chunks:
            yield Content(video, _media_type(video.file), video.size, chunks)

    async def delete(self, user: Owner, id: str, /) -> None:
        async with changing(self._cache, user.id):
            deleted = _found(
                await self._database.fetch_one(
                    "DELETE FROM videos WHERE id = $1 AND user_id = $2 RETURNING *", _checked(id), user.id, into=Video
                )
            )
        self._bell.ring(id)
        if deleted.file is not None:
            await self._delete_file(deleted.file)

    async def analytics(self, user: Owner, /, *, days: int = 30) -> Analytics:
        if not 1 <= days <= LONGEST_SPAN:
            raise Invalid("days", f"1 to {LONGEST_SPAN} days")
        counts = await self._database.fetch(
            "SELECT status, COUNT(*) AS videos FROM videos WHERE user_id = $1 GROUP BY status", user.id, into=_Count
        )
        by_day = await self._database.fetch(
            "SELECT created_on AS day, status, COUNT(*) AS videos FROM videos WHERE user_id = $1 AND created_on > $2"
            " GROUP BY created_on, status ORDER BY created_on",
            user.id,
            instant(self._now()).date() - timedelta(days=days),
            into=_DayCount,
        )
        by_status: dict[Status, int] = {count.status: count.videos for count in counts}
        return Analytics(sum(by_status.values()), by_status, _days(by_day))

    async def _delete_file(self, name: str) -> None:
        # The video is gone already, so that a client who leaves, or a store that is away, must not undo the rest.
        with anyio.move_on_after(_CLEAN_UP_LIMIT, shield=True):
            try:
                await self._files.delete(name)
            except (HeykitError, OSError) as error:
                _log.warning("the video of %s is deleted, its file stays: %s", name, error)


def bytes_of_page(page: Page[Video]) -> int:
    """Give about how many bytes of memory a page takes: a character may take four."""
    return 1000 + sum(1000 + 4 * (len(video.script) + len(video.title)) for video in page.items)


def _found(video: Video | None) -> Video:
    if video is None:
        raise NotFound("there is no such video")
    return video


def _checked(id: str) -> str:
    if not is_id(id):
        raise NotFound("there is no such video")
    return id


def _check_avatar(id: str, avatars: Sequence[Avatar]) -> None:
    if avatar_by_id(id, avatars) is None:
        raise Invalid("avatar_id", f"one of {', '.join(avatar.id for avatar in avatars)}")


def _media_type(name: str) -> str:
    return _MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


def _days(counts: list[_DayCount]) -> tuple[Day, ...]:
    """Gather the counts of each day; they come in the order of the days."""
    by_day: dict[date, dict[Status, int]] = {}
    for count in counts:
        by_day.setdefault(count.day, {})[count.status] = count.videos
    return tuple(Day(day, sum(by_status.values()), by_status) for day, by_status in by_day.items())
