"""What PostgreSQL sends by itself: the notifications of channels, on a connection of their own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from heykit._feeds import Source
from heykit.database._postgres_errors import connecting_failed, translated
from heykit.database.protocol import Notification
from heykit.errors import DatabaseError, Unavailable

if TYPE_CHECKING:
    import asyncpg

_LONGEST_CHANNEL: Final = 63  # bytes: NAMEDATALEN - 1; a longer name is cut, and then nothing is heard
_MOST_UNREAD: Final = 10_000


def check_channels(channels: Sequence[str]) -> None:
    """Raise DatabaseError for what is no name of a channel."""
    if not channels:
        raise DatabaseError("there is nothing to listen to: give the name of a channel")
    for channel in channels:
        if not 0 < len(channel.encode(errors="replace")) <= _LONGEST_CHANNEL or "\0" in channel:
            raise DatabaseError(f"a channel's name has 1 to {_LONGEST_CHANNEL} bytes, and no zero byte")


def notifications(
    connect: Callable[[], Awaitable[asyncpg.Connection]], channels: Sequence[str], server: str, time_limit: float
) -> Callable[[], Awaitable[Source[Notification]]]:
    """Make what opens a connection that listens; it has so many seconds to do so, and to say that it lives."""

    async def opening() -> Source[Notification]:
        try:
            connection = await connect()
        except Exception as error:  # noqa: BLE001 - whatever it is leaves in heykit's words
            raise connecting_failed(error, server) from None
        source = _Notifications(connection, server, time_limit)
        try:
            async with asyncio.timeout(time_limit):
                await source.listen(channels)
        except BaseException as error:
            source.terminate()
            if not isinstance(error, Exception):
                raise
            raise translated(error, server) from None
        return source

    return opening


class _Notifications:
    def __init__(self, connection: asyncpg.Connection, server: str, time_limit: float) -> None:
        self._connection = connection
        self._server = server
        self._time_limit = time_limit
        self._unread: deque[Notification | None] = deque()
        self._changed = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._lost = ""

    async def listen(self, channels: Sequence[str]) -> None:
        self._connection.add_termination_listener(lambda _: self._lose("the connection was closed"))
        for channel in dict.fromkeys(channels):
            await self._connection.add_listener(channel, self._take)

    async def next(self, seconds: float) -> Sequence[Notification | None]:
        if not self._unread and not self._lost:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                return []
        if self._unread:
            come = [*self._unread]
            self._unread.clear()
            return come
        raise Unavailable(f"{self._server}: {self._lost}")

    async def ask(self) -> None:
        # By a task: whoever listens may leave at any moment, and the connection must not be left in the middle of it.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())

    def terminate(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
        self._connection.terminate()

    async def _ask(self) -> None:
        try:
            await self._connection.execute("SELECT 1", timeout=self._time_limit)
        except Exception as error:  # noqa: BLE001 - told to whoever listens
            self._lose(str(translated(error, self._server)))
        else:
            self._unread.append(None)
            self._changed.set()

    def _take(self, connection: object, process: int, channel: str, payload: object) -> None:
        if len(self._unread) >= _MOST_UNREAD:
            self._lose(f"more than {_MOST_UNREAD} notifications were not read")
        elif not self._lost:
            self._unread.append(Notification(channel, str(payload)))
            self._changed.set()

    def _lose(self, reason: str) -> None:
        self._lost = self._lost or reason
        self._changed.set()
