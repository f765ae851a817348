"""The values of one prefix in Redis: read, claimed, kept and dropped, each in one exchange."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

from heykit.cache import _scripts as scripts
from heykit.cache._counts import Counts
from heykit.cache._layout import STAMP, Layout, body, head
from heykit.cache._reach import NotReached, Reach
from heykit.cache._tokens import Ticket
from heykit.cache.protocol import Codec

V = TypeVar("V")

LOCK: Final = 3.0  # seconds a claim lasts; whoever loads renews it, so that a process that dies keeps nobody waiting
_AT_ONCE: Final = 100  # keys in one command: more would keep the others waiting, and take longer than the time limit
_MOST: Final = 1024 * 1024  # bytes in one command, where there is more than one value
_LONGEST: Final = 10**14  # milliseconds; what lasts longer lasts for good

logger = logging.getLogger("heykit.cache")


class Looked(Generic[V]):
    """A value that holds, and the seconds it has left: a little too few, for the answer has taken its time."""

    __slots__ = ("left", "value")

    def __init__(self, value: V, left: float) -> None:
        self.value = value
        self.left = left


class Remote(Generic[V]):
    """Every method but `set_many` does without Redis where that is away: it finds nothing and keeps nothing."""

    def __init__(self, reach: Reach, layout: Layout, codec: Codec[V], counts: Counts) -> None:
        self._reach = reach
        self._layout = layout
        self._codec = codec
        self._counts = counts
        self._has_told = False

    async def look(self, key: str, tags: Sequence[str], ticket: Ticket | None = None) -> Looked[V] | None:
        """Find a value. The ticket of a load under way is dropped where Redis knows of another load, or of none."""
        claim = None if ticket is None or not ticket.is_loading else ticket.claim
        value, stamps = self._layout.value(key), self._stamp_keys(tags)
        if not self._reach.is_read or self._reach.owes(value, *stamps):
            return None
        losses = self._reach.losses
        try:
            found = await self._reach.run(scripts.LOOK, [value, self._layout.lock(key), *stamps])
        except NotReached:
            return None
        match found:
            case [data, int(left), claimed, *held] if losses == self._reach.losses:
                # A load without a claim began when Redis was away: nobody could say then what was dropped since.
                if ticket is not None and claim is not None and (claim, ticket.stamps) != (claimed, _stamps(held)):
                    ticket.drop()
                return self._understood(data, left, held)
        return None

    async def look_many(self, keys: Iterable[str]) -> dict[str, Looked[V]]:
        names = {key: self._layout.value(key) for key in keys}
        found: dict[str, Looked[V]] = {}
        wanted = [key for key, name in names.items() if not self._reach.owes(name, self._layout.generation)]
        for at in range(0, len(wanted), _AT_ONCE):
            part = wanted[at : at + _AT_ONCE]
            losses = self._reach.losses
            if not self._reach.is_read:
                break
            try:
                reply = await self._reach.run(
                    scripts.LOOK_MANY, [self._layout.generation, *(names[key] for key in part)]
                )
            except NotReached:
                break
            if losses != self._reach.losses:
                break
            stamp, *values = cast("list[object]", reply)
            for key, data, left in zip(part, values[::2], values[1::2], strict=True):
                looked = self._understood(data, cast("int", left), [stamp])
                if looked is not None:
                    found[key] = looked
        return found

    async def set_many(self, values: Mapping[str, V], lifetime: float) -> None:
        """Keep values. What cannot be written is dropped instead: the old one is not true any more.

        Raises what the codec raises, before anything is written.
        """
        encoded = [(key, self._codec.encode(value)) for key, value in values.items()]
        for part in _parts(encoded):
            names = [name for key, _ in part for name in (self._layout.value(key), self._layout.lock(key))]
            before = head([b"\0" * STAMP])[:-STAMP]
            if self._reach.owes(*names):  # it would be dropped after it was written
                self._reach.owe(names)
                continue
            try:
                await self._reach.run(
                    scripts.SET,
                    [self._layout.generation, *names],
                    before,
                    self._reach.new_generation(),
                    _milliseconds(lifetime),
                    *(data for _, data in part),
                )
            except BaseException as error:
                if isinstance(error, Exception) and not isinstance(error, NotReached):
                    raise
                self._reach.owe(names)
                if not isinstance(error, NotReached):
                    raise

    async def drop(self, key: str) -> bool:
        """Drop a value, and the right of whoever loads it to keep what that brings; tell whether there was one."""
        return bool(await self._reach.drop(scripts.DROP, self._layout.value(key), self._layout.lock(key)))

    async def drop_tags(self, tags: Iterable[str]) -> None:
        names = [*map(self._layout.tag, tags)]
        for at in range(0, len(names), _AT_ONCE):
            await self._reach.drop(scripts.FORGET, *names[at : at + _AT_ONCE])

    async def clear(self) -> None:
        """Let nothing that was written be true, at once, and then take it out bit by bit."""
        if not await self._reach.drop_all():
            return
        cursor: object = 0
        try:
            while True:
                assert isinstance(cursor, bytes | str | int)
                told = await self._reach.ask("SCAN", cursor, "MATCH", self._layout.everything, "COUNT", _AT_ONCE)
                cursor, keys = cast("tuple[bytes, list[bytes]]", told)
                if keys:
                    await self._reach.ask("UNLINK", *keys)
                if int(cursor) == 0:
                    return
        except NotReached as error:
            logger.warning("a cache is cleared, but what it held stays in Redis until its time is over: %s", error)

    async def claim(self, key: str, tags: Sequence[str], ticket: Ticket) -> tuple[bool, Looked[V] | None]:
        """Claim a load: tell whether it is ours, and give the value where there is one.

        Where Redis is away it is ours too, but what it brings will not be kept: nobody there can say that it may.
        """
        value, lock, stamps = self._layout.value(key), self._layout.lock(key), self._stamp_keys(tags)
        ticket.claim, ticket.stamps = b"", []
        if not self._reach.is_read or self._reach.owes(value, *stamps):
            return True, None
        claim = self._reach.new_stamp()
        new = [self._reach.new_generation(), *(self._reach.new_stamp() for _ in tags)]
        losses = self._reach.losses
        try:
            found = await self._reach.run(scripts.CLAIM, [lock, value, *stamps], claim, int(LOCK * 1000), *new)
        except NotReached:
            self._give_up(key, ticket)  # it may have been claimed, and only the answer was lost
            return True, None
        match found:
            case [taken, data, int(left), *held]:
                if isinstance(taken, bytes):
                    ticket.claim, ticket.stamps = taken, _stamps(held)
                looked = self._understood(data, left, held) if losses == self._reach.losses else None
                return bool(taken), looked
        return True, None

    async def renew(self, key: str, ticket: Ticket) -> None:
        """Let a claim last. Where it is not ours any more, the ticket is dropped; where Redis is away, the claim is."""
        try:
            if not await self._reach.run(scripts.RENEW, [self._layout.lock(key)], ticket.claim, int(LOCK * 1000)):
                ticket.drop()
        except NotReached:
            self._give_up(key, ticket)

    async def release(self, key: str, ticket: Ticket) -> None:
        claim, ticket.claim = ticket.claim, b""
        if claim:
            try:
                await self._reach.run(scripts.RELEASE, [self._layout.lock(key)], claim)
            except NotReached:
                self._give_up(key, ticket)

    async def keep(self, key: str, value: V, ticket: Ticket, lifetime: float) -> bool:
        """Keep what was loaded where the claim is still ours; tell whether it is kept. Raises what the codec raises."""
        if not ticket.claim:
            return False
        data = head(ticket.stamps) + self._codec.encode(value)
        keys = [self._layout.lock(key), self._layout.value(key), *map(self._layout.tag, ticket.tags)]
        try:
            return bool(await self._reach.run(scripts.KEEP, keys, ticket.claim, data, _milliseconds(lifetime)))
        except NotReached:
            self._give_up(key, ticket)
            return False

    def _give_up(self, key: str, ticket: Ticket) -> None:
        """Let nobody wait for a claim that cannot be ended now."""
        ticket.claim = b""
        self._reach.owe([self._layout.lock(key)])

    def _stamp_keys(self, tags: Sequence[str]) -> list[bytes]:
        return [self._layout.generation, *map(self._layout.tag, tags)]

    def _understood(self, data: object, left: int, held: Sequence[object]) -> Looked[V] | None:
        """Read what was found; what does not hold, or is not ours, or cannot be read, is nothing."""
        stamps = _stamps(held)
        payload = body(stamps, data) if isinstance(data, bytes) and len(stamps) == len(held) else None
        if payload is None or left in (0, -2):
            return None
        try:
            value = self._codec.decode(payload)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises, its value is not to be had
            self._counts.errors += 1
            if not self._has_told:
                self._has_told = True
                logger.warning("a value in Redis cannot be read, and is loaded anew: %s", type(error).__name__)
            return None
        return Looked(value, math.inf if left < 0 else left / 1000)


def _stamps(held: Sequence[object]) -> list[bytes]:
    return [stamp[:STAMP] for stamp in held if isinstance(stamp, bytes)]


def _parts(encoded: Sequence[tuple[str, bytes]]) -> Iterator[Sequence[tuple[str, bytes]]]:
    """Cut what is to be written into commands of a moderate size."""
    part: list[tuple[str, bytes]] = []
    size = 0
    for key, data in encoded:
        if part and (len(part) == _AT_ONCE or size + len(data) > _MOST):
            yield part
            part, size = [], 0
        part.append((key, data))
        size += len(data)
    if part:
        yield part


def _milliseconds(seconds: float) -> int:
    """Give a time as Redis takes it, with 0 for ever."""
    return 0 if seconds * 1000 >= _LONGEST else max(1, math.floor(seconds * 1000))
