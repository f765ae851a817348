"""One connection to Redis: what is asked on it, whole or not at all."""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import parse_qs

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

_OPTIONS: Final = frozenset({"db", "client_name"})


class Target:
    """The server that a URL names, and how it may be called in a message."""

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in ("redis", "rediss", "unix"):
            raise RedisError("a Redis URL is redis://host:6379/0, rediss:// with TLS, or unix:///path/of/the/socket")
        place, _, query = rest.partition("?")
        unknown = [name for name in parse_qs(query, keep_blank_values=True) if not _is_option(name, scheme)]
        database = place.partition("/")[2]
        if unknown or (scheme != "unix" and database and not database.isdecimal()):
            raise RedisError(
                "what follows the host of a Redis URL is the number of a database, redis://host:6379/0, and then at "
                "most db, client_name and, for rediss, what its TLS needs; all else is given to redis_client"
            )
        try:
            self._arguments: dict[str, object] = dict(parse_url(url))
            self._class = self._arguments.pop("connection_class", Connection)
            database_number = self._arguments.get("db", 0)
            if not isinstance(database_number, int) or database_number < 0:
                raise ValueError  # noqa: TRY301 - refused as all else that cannot be read
            self._made(1.0, 3)
        except (ValueError, TypeError, exceptions.RedisError):
            raise RedisError("the Redis URL cannot be read: write redis://user:password@host:6379/0") from None
        self.server = _server(url, self._arguments.get("path"))

    def _made(self, time_limit: float, protocol: int) -> AbstractConnection:
        assert isinstance(self._class, type)
        made = self._class(
            **self._arguments,
            protocol=protocol,
            socket_timeout=None,  # our own limits are for a whole exchange
            socket_connect_timeout=time_limit,
            retry=Retry(NoBackoff(), 0),
            driver_info=None,
        )
        assert isinstance(made, AbstractConnection)
        return made

    async def connect(self, time_limit: float, *, protocol: int) -> Link:
        """Open a connection to a server that is ready. Raises what the driver raises."""
        connection = self._made(time_limit, protocol)
        link = Link(connection, self.server)
        try:
            async with asyncio.timeout(time_limit):
                await link.open()
                # A server that still loads its data greets whoever comes, and refuses all else.
                [ready] = await link.replies(PING, 1)
                _require_ready(ready)
        except BaseException:
            await link.drop()
            raise
        return link


def _require_ready(reply: object) -> None:
    if isinstance(reply, exceptions.ResponseError) and kind_of(reply) != "NOPERM":
        raise reply


def _is_option(name: str, scheme: str) -> bool:
    return name in _OPTIONS or (scheme == "rediss" and name.startswith("ssl_"))


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
        self._transport: asyncio.WriteTransport | None = None
        self._over = False
        self._ending: asyncio.Task[None] | None = None

    async def open(self) -> None:
        try:
            await self._connection.connect_check_health(retry_socket_connect=False)
        finally:
            # The driver closes a connection only once it has sent all that waits, which a server that does not read
            # never takes, and it does not say whether one was reset. It has no public way to either.
            writer: asyncio.StreamWriter | None = self._connection._writer  # noqa: SLF001
            self._transport = None if writer is None else writer.transport

    def is_closed(self) -> bool:
        return self._over or self._transport is None or self._transport.is_closing()

    def terminate(self) -> None:
        self._abort()
        if self._connection.is_connected and self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._connection.disconnect(nowait=True))

    async def close(self, *, timeout: float) -> None:
        with anyio.move_on_after(timeout):
            await self._connection.disconnect()
        self._abort()

    async def is_stale(self) -> bool:
        """Tell whether it was closed by the server meanwhile, or says what nobody has asked."""
        try:
            return self.is_closed() or await self._connection.can_read()
        except (exceptions.RedisError, OSError):
            return True

    def _abort(self) -> None:
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    async def drop(self) -> None:
        self._abort()
        await self._connection.disconnect(nowait=True)

    async def exchange(self, packet: bytes, count: int, time_limit: float) -> list[object]:
        """Send commands and read as many replies, errors of the server among them, within so many seconds.

        Raises Unavailable, with `had_no_effect` where nothing was sent, and TimedOut. What is interrupted closes the
        connection: its reply would be taken for that of the next command.
        """
        sent = False
        limit = asyncio.timeout(time_limit)
        try:
            async with limit:
                await self._require_silence()
                sent = True
                replies = await self.replies(packet, count)
        except BaseException as error:
            await self.drop()
            if isinstance(error, Exception):
                raise lost(error, self.server, sent=sent, late=limit.expired()) from None
            raise
        if any(isinstance(reply, exceptions.ReadOnlyError) for reply in replies):
            self.terminate()  # after a fail-over the name may lead to the new primary
        return replies

    async def _require_silence(self) -> None:
        if await self.is_stale():
            raise ConnectionError

    async def replies(self, packet: bytes, count: int) -> list[object]:
        await self.send(packet)
        return [await self.reply() for _ in range(count)]

    async def send(self, packet: bytes) -> None:
        await self._connection.send_packed_command([packet], check_health=False)

    async def reply(self) -> object:
        try:
            # With a time limit of its own the driver gives None for a connection that is lost by a time-out of TCP.
            found: object = await self._connection.read_response(disable_decoding=True)
        except exceptions.ResponseError as refusal:
            return refusal
        return found

    async def heard(self, seconds: float) -> object:
        """Give what comes next, None where nothing does within so many seconds. May be cancelled."""
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                found: object = await self._connection.read_response(disable_decoding=True, disconnect_on_error=False)
        except exceptions.ResponseError as refusal:  # of a PING that its user may not run: it lives
            return refusal
        except (exceptions.RedisError, OSError) as error:
            if limit.expired() and isinstance(error, TimeoutError):
                return None
            raise lost(error, self.server, sent=False) from None
        return found
