"""Instances by key, each shared and counted: opened at the first use, closed when nobody has held it for a while."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from functools import partial
from itertools import islice
from types import MappingProxyType
from typing import Final, TypeAlias

import anyio

from heykit._life import End, Life, Limits, Spawn, outlast
from heykit.errors import Unavailable

logger = logging.getLogger("heykit.lifetime")

_ENDED: Final = MappingProxyType({"failed": "failed while serving", "not closed": "could not be closed"})


EnterKept: TypeAlias = "Callable[[Entry, AsyncExitStack], Awaitable[object]]"


class Entry:
    """One instance: who holds it, and how far it is."""

    def __init__(self, key: Hashable, pool: Pool, previous: Entry | None) -> None:
        self.key = key
        self.pool = pool
        self.previous = previous  # of the same key, and still closing
        self.number = 0  # in the order of opening
        self.beneath: list[Entry] = []  # what it holds itself while it is open
        self.life = Life()
        self.value: object | None = None
        self.holders = 0
        self.is_open = False
        self.ending = False  # once nobody holds it
        self.forced = False  # whoever holds it
        self.end: End | None = None
        self.settled = anyio.Event()
        self.closing = anyio.Event()  # whoever holds it: it has crashed, or nobody wants it
        self.ended = anyio.Event()
        self.changed = anyio.Event()

    def notice(self) -> None:
        """Wake the task that owns it: who holds it, or what is wanted of it, is another now."""
        self.changed.set()

    def retire(self) -> None:
        """End it once nobody holds it; who asks for its key from now on gets another."""
        self.ending = True
        self.pool.forget(self)
        self.notice()

    def rests_on(self, others: AbstractSet[Entry]) -> bool:
        """Tell whether it holds one of others, itself or through what it holds."""
        return any(beneath in others or beneath.rests_on(others) for beneath in self.beneath)

    @property
    def unwanted(self) -> bool:
        return self.forced or (self.ending and not self.holders)


class Pool:
    """Counted instances. `spawn` starts the task that owns one; `idle` is in seconds.

    `opened` lists what is open, in order of opening: pools that share it can be closed in reverse.
    """

    def __init__(
        self, name: str, spawn: Spawn, *, idle: float, limit: float, opened: dict[Entry, None] | None = None
    ) -> None:
        self.name = name
        self._spawn = spawn
        self._idle = idle
        self._limit = limit
        self._opened = {} if opened is None else opened
        self._entries: dict[Hashable, Entry] = {}  # least recently taken first
        self._closing: dict[Hashable, Entry] = {}  # the newest of a key
        self._living: dict[Entry, None] = {}  # every one whose task has not ended

    def __len__(self) -> int:
        return len(self._entries)

    async def take(self, key: Hashable, enter: EnterKept, limits: Limits) -> Entry:
        """Hold the instance of a key, which is opened where there is none; `give_back` it.

        Raises `Unavailable` where it cannot be opened, or where there are as many as may be and all are held.
        """
        if key not in self._entries:
            await self._make_room(key)
        entry = self._entries.pop(key, None)
        if entry is None:
            entry = self._made(key, enter, limits)
        else:
            self._entries[key] = entry
        entry.holders += 1
        entry.notice()
        try:
            await entry.settled.wait()
        except BaseException:
            self._leave_unopened(entry)
            raise
        if not entry.is_open:
            self.give_back(entry)
            raise self._refusal(entry)
        return entry

    def give_back(self, entry: Entry) -> None:
        entry.holders -= 1
        entry.notice()

    def _leave_unopened(self, entry: Entry) -> None:
        self.give_back(entry)
        if not entry.holders and not entry.is_open and self._idle <= 0:
            # Nobody is kept waiting for it: whoever comes next has an opening of their own, should this one hang.
            entry.retire()
            entry.life.abandon()

    async def leave(self, entry: Entry) -> None:
        """Give back, and wait for the closing where nobody else holds it and it is not kept idle."""
        self.give_back(entry)
        if not entry.holders and self._idle <= 0:
            entry.retire()  # whoever comes now gets another, and does not keep us waiting
            await entry.ended.wait()
            if entry.end is not None and entry.end.how == "not closed" and entry.end.error is not None:
                raise entry.end.error

    async def end(self, key: Hashable) -> None:
        """Close the instance of a key once nobody holds it; who asks from now on gets another."""
        await end_all(self.retired(key))

    def retired(self, key: Hashable) -> list[Entry]:
        """Retire the instance of a key; give all of that key that have not ended."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.retire()
            if not entry.holders and not entry.is_open:
                entry.life.abandon()  # nobody waits for it
        return [entry for entry in self._living if entry.key == key]

    @property
    def living(self) -> list[Entry]:
        """Every instance that is open, opening or closing."""
        return [*self._living]

    def _made(self, key: Hashable, enter: EnterKept, limits: Limits) -> Entry:
        entry = Entry(key, self, self._closing.get(key))
        # Known before its task begins, which an eager task factory does at once.
        self._entries[key] = entry
        self._living[entry] = None
        try:
            self._spawn(partial(self._own, entry, enter, limits))
        except BaseException:
            del self._entries[key], self._living[entry]
            raise
        return entry

    async def _make_room(self, key: Hashable) -> None:
        """End what nobody holds, longest idle first; where all are held by idle others, end those before."""
        while len(self._entries) >= self._limit and key not in self._entries:
            idle = next(filter(_is_idle, self._entries.values()), None) or self._idle_above()
            if idle is None:
                raise Unavailable(f"all {self._limit:g} of {self.name} are in use: try again, or raise its limit=")
            idle.retire()
            if idle.pool is not self:
                await idle.ended.wait()

    def _idle_above(self) -> Entry | None:
        """Find something idle that holds one of these."""
        mine = {*self._entries.values()}
        return next((entry for entry in self._opened if _is_idle(entry) and entry.rests_on(mine)), None)

    def forget(self, entry: Entry) -> None:
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
            self._closing[entry.key] = entry

    async def _own(self, entry: Entry, enter: EnterKept, limits: Limits) -> None:
        def opened(value: object) -> None:
            entry.value, entry.is_open = value, True
            entry.number = 1 + max((other.number for other in islice(reversed(self._opened), 1)), default=0)
            self._opened[entry] = None
            entry.settled.set()

        async def hold() -> None:
            try:
                await self._until_unwanted(entry)
            finally:
                self.forget(entry)  # also where it crashes: nobody gets what is closing
                entry.closing.set()

        with anyio.CancelScope(shield=True):
            try:
                before = entry.previous
                if before is not None and (before.closing.is_set() or not before.holders):
                    await before.ended.wait()
                entry.end = await entry.life.live(partial(enter, entry), opened, limits, hold)
                if entry.end.how in {"failed", "not closed"}:
                    logger.error("one of %s %s", self.name, _ENDED[entry.end.how], exc_info=entry.end.error)
            finally:
                self.forget(entry)
                if self._closing.get(entry.key) is entry:
                    del self._closing[entry.key]
                self._living.pop(entry, None)
                entry.previous = None
                entry.beneath.clear()
                if entry.is_open:
                    del self._opened[entry]
                entry.is_open = False
                entry.settled.set()
                entry.ended.set()

    async def _until_unwanted(self, entry: Entry) -> None:
        while not entry.unwanted:
            entry.changed = anyio.Event()
            if entry.holders:
                await entry.changed.wait()
                continue
            with anyio.move_on_after(self._idle):
                await entry.changed.wait()
            if not entry.changed.is_set():
                return

    def _refusal(self, entry: Entry) -> Exception:
        error = None if entry.end is None else entry.end.error
        said = "" if error is None else f": {type(error).__name__}: {error}"
        refusal = Unavailable(f"{self.name} could not be opened{said}", retry_after=1)
        refusal.__cause__ = error
        return refusal


def _is_idle(entry: Entry) -> bool:
    return not entry.holders and entry.is_open


async def end_all(retired: Iterable[Entry]) -> None:
    """Wait until they have ended, the last opened first, but for those that somebody holds."""
    for entry in sorted(retired, key=lambda entry: entry.number, reverse=True):
        if not entry.holders:
            await entry.ended.wait()


async def close_pools(pools: Sequence[Pool]) -> list[tuple[str, BaseException]]:
    """Close all of some pools, the last opened first, whoever holds it; name what could not be closed."""
    entries = sorted((entry for pool in pools for entry in pool.living), key=lambda entry: entry.number)
    for entry in entries:
        if not entry.is_open:
            _force(entry)
    for entry in reversed(entries):
        _force(entry)
        await outlast(entry.ended)
    ends = [(entry.pool.name, entry.end) for entry in entries if entry.end is not None]
    return [(name, end.error) for name, end in ends if end.how == "not closed" and end.error is not None]


def _force(entry: Entry) -> None:
    entry.forced = True
    entry.life.abandon()
    entry.notice()
