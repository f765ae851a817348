"""What Redis sends by itself: messages of channels, and the keys that were changed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from redis import exceptions

from heykit._feeds import Invalidated, Source
from heykit.errors import HeykitError
from heykit.resources._redis_errors import connecting_failed, lost, refused
from heykit.resources._redis_link import PING, Link, Target
from heykit.resources._redis_wire import name_of, packed
from heykit.resources.protocol import Command, Message

T = TypeVar("T")

_INVALIDATE: Final = "__redis__:invalidate"


def subscription(
    target: Target, time_limit: float, channels: Sequence[str], patterns: Sequence[str]
) -> Callable[[], Awaitable[Source[Message]]]:
    """Make what opens a connection that is subscribed, within so many seconds."""

    async def prepare(link: Link) -> list[Message | None]:
        ready: list[Message | None] = []
        for name, wanted in (("SUBSCRIBE", channels), ("PSUBSCRIBE", patterns)):
            if wanted:
                ready += await _subscribed(link, [name, *wanted], _message)
        return ready

    return _opening(target, time_limit, prepare, _message)


def invalidations(
    target: Target, time_limit: float, prefixes: Sequence[str]
) -> Callable[[], Awaitable[Source[Invalidated]]]:
    """Make what opens a connection that hears of each key under the prefixes, whoever changes it.

    Redis manual, "Server-assisted client side caching": over RESP2 a connection is told through `REDIRECT`, here to
    itself, on the channel of invalidations; `BCAST` tells of all keys of a prefix, not only of those it has read.
    """

    async def prepare(link: Link) -> list[Invalidated | None]:
        number = await _answered(link, ["CLIENT", "ID"])
        assert isinstance(number, int)
        wanted = [word for prefix in prefixes for word in ("PREFIX", prefix)]
        await _answered(link, ["CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", *wanted])
        return await _subscribed(link, ["SUBSCRIBE", _INVALIDATE], _invalidated)

    return _opening(target, time_limit, prepare, _invalidated)


class _Source(Generic[T]):
    def __init__(self, link: Link, understood: Callable[[object], T | None], ready: list[T | None]) -> None:
        self._link = link
        self._understood = understood
        self._ready = ready

    async def next(self, seconds: float) -> Sequence[T | None]:
        ready, self._ready = self._ready, []
        if ready:
            return ready
        heard = await self._link.heard(seconds)
        return [] if heard is None else [self._understood(heard)]

    async def ask(self) -> None:
        try:
            await self._link.send(PING)
        except (exceptions.RedisError, OSError) as error:
            raise lost(error, self._link.server, sent=False) from None

    def terminate(self) -> None:
        self._link.terminate()


def _opening(
    target: Target,
    time_limit: float,
    prepare: Callable[[Link], Awaitable[list[T | None]]],
    understood: Callable[[object], T | None],
) -> Callable[[], Awaitable[Source[T]]]:
    async def opening() -> Source[T]:
        link: Link | None = None
        try:
            async with asyncio.timeout(time_limit):
                link = await target.connect(time_limit, protocol=2)
                return _Source(link, understood, await prepare(link))
        except BaseException as error:
            if link is not None:
                link.terminate()
            if isinstance(error, HeykitError) or not isinstance(error, Exception):
                raise
            raise connecting_failed(error, target.server) from None

    return opening


async def _answered(link: Link, command: Command) -> object:
    [reply] = await link.replies(packed(command), 1)
    if isinstance(reply, exceptions.ResponseError):
        raise refused(reply, name_of(command), link.server)
    return reply


async def _subscribed(link: Link, command: Command, understood: Callable[[object], T | None]) -> list[T | None]:
    """Subscribe; what is already sent meanwhile comes first. Each name is acknowledged by itself."""
    come: list[T | None] = []
    left = len(command) - 1
    await link.send(packed(command))
    while left:
        reply = await link.reply()
        if isinstance(reply, exceptions.ResponseError):
            raise refused(reply, name_of(command), link.server)
        event = understood(reply)
        if event is None:
            left -= 1
        else:
            come.append(event)
    return come


def _message(reply: object) -> Message | None:
    match reply:
        case [b"message", bytes(channel), bytes(data)]:
            return Message(channel.decode(errors="replace"), data)
        case [b"pmessage", bytes(pattern), bytes(channel), bytes(data)]:
            return Message(channel.decode(errors="replace"), data, pattern.decode(errors="replace"))
    return None


def _invalidated(reply: object) -> Invalidated | None:
    match reply:
        case [b"message", _, None]:
            return Invalidated(None)
        case [b"message", _, [*keys]]:
            return Invalidated(tuple(key for key in keys if isinstance(key, bytes)))
    return None
