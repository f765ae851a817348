"""One connection to Redis: what is asked on it, whole or not at all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Final

import anyio
from redis import exceptions
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from heykit._urls import shown_host
from heykit.errors import RedisError
from heykit.resources._redis_errors import kind_of, lost
from heykit.resources._redis_wire import packed

PING: Final = packed(["PING"])

_TAKEN: Final = frozenset({"host", "port", "path", "db", "username", "password", "client_name"})


class Target:
    """The server that a URL names, and how it may be called in a message."""

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in ("redis", "rediss", "unix"):
            raise RedisError("a Redis URL is redis://host:6379/0, rediss:// with TLS, or unix:///path/of/the/socket")
        try:
            found: dict[str, object] = dict(parse_url(url))
        except ValueError:
            raise RedisError("the Redis URL cannot be read: write redis://user:password@host:6379/0") from None
        self._class = found.pop("connection_class", Connection)
        self._arguments: Mapping[str, object] = found
        if strange := sorted(name for name in found if name not in _TAKEN and not name.startswith("ssl_")):
            raise RedisError(f"a Redis URL takes no {strange[0][:40]!r}: give it to redis_client, if it has it")
        database = rest.partition("?")[0].partition("/")[2]
        if scheme != "unix" and database and not database.isdecimal():
            raise RedisError("what follows the host of a Redis URL is the number of a database: redis://host:6379/0")
        self.server = _server(url, self._arguments.get("path"))

    async def connect(self, time_limit: float, *, protocol: int) -> Link:
        """Open a connection to a server that is ready. Raises what the driver raises."""
        assert isinstance(self._class, type)
        connection = self._class(
            **self._arguments,
            protocol=protocol,
            socket_timeout=None,  # our own limits are for a whole exchange
            socket_connect_timeout=time_limit,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        assert isinstance(connection, AbstractConnection)
        link = Link(connection, self.server)
        try:
            async with asyncio.timeout(time_limit):
                await connection.connect_check_health(retry_socket_connect=False)
                # A server that still loads its data greets whoever comes, and refuses all else.
                [ready] = await link.replies(PING, 1)
                _require_ready(ready)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return link


def _require_ready(reply: object) -> None:
    if isinstance(reply, exceptions.ResponseError) and kind_of(reply) != "NOPERM":
        raise reply


def _server(url: str, path: object) -> str:
    host = shown_host(url)
    if host is None:
        return "the Redis server of the URL"
    return f"the Redis server at {path or host or 'localhost'}"


class Link:
    """A connection on which one exchange at a time is under way; one that was interrupted closes it."""

    def __init__(self, connection: AbstractConnection, server: str) -> None:
        self._connection = connection
        self.server = server
        self._ending: asyncio.Task[None] | None = None

    def is_closed(self) -> bool:
        return not self._connection.is_connected

    def terminate(self) -> None:
        if self._connection.is_connected and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._connection.disconnect(nowait=True))

    async def close(self, *, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            await self._connection.disconnect()

    async def exchange(self, packet: bytes, count: int, time_limit: float) -> list[object]:
        """Send commands and read as many replies, errors of the server among them, within so many seconds.

        Raises Unavailable, with `had_no_effect` where nothing was sent, and TimedOut. What is interrupted closes the
        connection: its reply would be taken for that of the next command.
        """
        sent = False
        try:
            async with asyncio.timeout(time_limit):
                await self._require_silence()
                sent = True
                replies = await self.replies(packet, count)
        except BaseException as error:
            await self._connection.disconnect(nowait=True)
            if isinstance(error, Exception):
                raise lost(error, self.server, sent=sent) from None
            raise
        if any(isinstance(reply, exceptions.ReadOnlyError) for reply in replies):
            self.terminate()  # after a fail-over the name may lead to the new primary
        return replies

    async def _require_silence(self) -> None:
        if await self._connection.can_read():
            raise ConnectionError  # closed by the server, or it says what nobody has asked

    async def replies(self, packet: bytes, count: int) -> list[object]:
        await self.send(packet)
        return [await self.reply() for _ in range(count)]

    async def send(self, packet: bytes) -> None:
        await self._connection.send_packed_command([packet], check_health=False)

    async def reply(self) -> object:
        try:
            found: object = await self._connection.read_response(disable_decoding=True, timeout=math.inf)
        except exceptions.ResponseError as refusal:
            return refusal
        return found

    async def heard(self, seconds: float) -> object:
        """Give what comes next, None where nothing does within so many seconds. May be cancelled."""
        try:
            found: object = await self._connection.read_response(
                disable_decoding=True, timeout=seconds, disconnect_on_error=False
            )
        except (exceptions.RedisError, OSError) as error:
            raise lost(error, self.server, sent=False) from None
        return found
