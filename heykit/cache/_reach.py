"""Whether Redis is there, for one cache; what it is owed while it is not; and when it is to be trusted again.

The first command that fails ends the waiting: from then on nobody asks, but for one task that looks every tenth of a
second. What Redis should have dropped meanwhile is remembered, and when it is back:

1. What is owed is dropped first, before this process reads anything there.
2. If the server has been started anew (or another took its place), nothing written before is trusted by anybody: a
   deletion may be lost that somebody saw done, or was owed by a process that is no more.
3. What others owe it is waited for: a second, in which this process writes but does not read.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import count, islice
from typing import Final, Literal, TypeAlias

import anyio

from heykit._background import beside
from heykit._finish import finish
from heykit.cache import _scripts as scripts
from heykit.cache._counts import Counts
from heykit.cache._layout import STAMP, Layout
from heykit.cache.protocol import Commands
from heykit.errors import HeykitError, Overloaded, Unavailable

State: TypeAlias = Literal["away", "returning", "here"]
Argument: TypeAlias = str | bytes | int | float

_LOOK_EVERY: Final = 0.1  # seconds
_TRUST_AFTER: Final = 1.0  # seconds: ten times as long as anybody takes to pay what is owed
_SHORT: Final = 0.3  # seconds: what is away no longer, and failed nobody, was a connection and not the server
_TROUBLE: Final = 10.0  # seconds for which health tells of what was refused
_MOST_OWED: Final = 10_000  # keys
_AT_ONCE: Final = 500  # keys in one command

logger = logging.getLogger("heykit.cache")


class NotReached(Exception):
    """Redis has not done what it was asked: it is away, or refuses."""


class Refused(NotReached):
    """Redis is there, and does not do it."""


class Reach:
    """One cache's way to Redis: `state` is away, returning (it is written, and not read yet) or here."""

    def __init__(
        self,
        commands: Commands,
        layout: Layout,
        counts: Counts,
        *,
        timeout: float,
        entropy: Callable[[int], bytes],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._layout = layout
        self._counts = counts
        self.timeout = timeout
        self._entropy = entropy
        self._clock = clock
        self._owed: dict[bytes, int] = {}  # the how-manieth each is
        self._debts = count(1)
        self._owes_all = 0  # the how-manieth, 0 for not
        self._dropping = 0
        self.on_loss: Callable[[], None] = _nothing
        self.losses = 0
        self._wanted = asyncio.Event()
        self._has_failed = False
        self._lost_at = 0.0
        self._run = b""
        self.state: State = "away"
        self.reason = "it was not asked yet"
        self._refusal, self._refused_at = "", -math.inf

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Look after Redis for as long as the block lasts; it need not be there."""
        if not await self._return():
            self._wanted.set()
            logger.warning("a cache opens without Redis, and does without it until it is there: %s", self.reason)
        try:
            async with beside(self._look_after):
                yield
        finally:
            await finish(self._settle())

    @property
    def is_read(self) -> bool:
        return self.state == "here"

    def owes(self, *keys: bytes) -> bool:
        """Tell whether one of the keys is still to be dropped."""
        return bool(self._owes_all) or any(key in self._owed for key in keys)

    def new_stamp(self) -> bytes:
        return self._entropy(STAMP)

    def new_generation(self) -> bytes:
        return self.new_stamp() + self._run

    def doubt(self, reason: str) -> None:
        """Look anew whether it is the same server, before anything more is read."""
        self._leave(reason)

    async def ask(self, *command: Argument) -> object:
        """Ask Redis. Raises NotReached where it does not answer, at once where it is known to be away."""
        if self.state == "away":
            raise NotReached(self.reason)
        return await self._asked(*command)

    async def run(self, script: str, keys: Iterable[bytes], *arguments: Argument) -> object:
        """Run a script. Raises NotReached."""
        listed = [*keys]
        return await self.ask("EVAL", script, len(listed), *listed, *arguments)

    async def drop(self, script: str, *keys: bytes) -> object:
        """Run a script that drops these keys. Where that fails they are owed, and it gives None."""
        self._dropping += 1
        try:
            return await self.run(script, keys)
        except NotReached:
            self.owe(keys)
            return None
        except asyncio.CancelledError:
            self.owe(keys)
            raise
        finally:
            self._dropping -= 1

    async def drop_all(self) -> bool:
        """Drop all that was ever written; where that fails it is owed."""
        self._dropping += 1
        try:
            await self.ask("DEL", self._layout.generation)
        except (NotReached, asyncio.CancelledError) as error:
            self._owes_all = next(self._debts)
            self._wanted.set()
            if not isinstance(error, NotReached):
                raise
            return False
        finally:
            self._dropping -= 1
        return True

    def owe(self, keys: Iterable[bytes]) -> None:
        """Remember keys that are to be dropped as soon as may be."""
        self._owed.update((key, next(self._debts)) for key in keys)
        if len(self._owed) > _MOST_OWED:
            self._owed.clear()
            self._owes_all = next(self._debts)
        self._wanted.set()

    async def _asked(self, *command: Argument) -> object:
        try:
            async with asyncio.timeout(self.timeout):
                return await self._commands.execute(*command)
        except Exception as error:  # noqa: BLE001 - of any driver
            self._counts.errors += 1
            if not _says_away(error):
                if command[0] != "INFO":
                    self._note_refusal(str(error))
                raise Refused(str(error)) from None
            self._lose(error)
            raise NotReached(self.reason) from None

    @property
    def refusal(self) -> str:
        """What Redis has refused to do in the last seconds, and why."""
        return self._refusal if self._clock() - self._refused_at < _TROUBLE else ""

    def _note_refusal(self, why: str) -> None:
        if not self.refusal:
            logger.warning("Redis does not do all that a cache asks of it: %s", why)
        self._refusal, self._refused_at = why, self._clock()

    def _lose(self, error: Exception) -> None:
        reason = str(error) or f"it did not answer within {self.timeout:g} s"
        if self.state != "away":
            logger.warning("a cache does without Redis until it is back: %s", reason)
        self._leave(reason)
        self._has_failed = True

    def _leave(self, reason: str) -> None:
        self.reason = reason
        if self.state != "away":
            self.state = "away"
            self._lost_at = self._clock()
            self._has_failed = False
        self.losses += 1
        self.on_loss()
        self._wanted.set()

    async def _look_after(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            while self.state != "here" or self._owed or self._owes_all:
                if not await self._return():
                    await anyio.sleep(_LOOK_EVERY)

    async def _return(self) -> bool:
        """Try to be there again; tell whether it has come to that."""
        if self.state == "here":
            return await self._has_paid()
        was_away, is_opening = self._clock() - self._lost_at, not self._run
        try:
            run = await self._ran()
            if not run or run != self._run:
                await self._adopt(run, is_opening=is_opening)
        except NotReached as error:
            self.reason = str(error)
            return False
        if not await self._has_paid():
            return False
        has_failed, self._has_failed = self._has_failed, False
        self.state, self.reason = "returning", "it was away, and others may still owe it what has changed"
        if has_failed or (was_away > _SHORT and not is_opening):
            await anyio.sleep(_TRUST_AFTER)
        if self._is_lost():  # again, meanwhile
            return False
        self.state, self.reason = "here", ""
        if not is_opening:
            logger.info("a cache has Redis again")
        return True

    def _is_lost(self) -> bool:
        return self.state == "away"

    async def _ran(self) -> bytes:
        """Give what tells one run of the server from another; nothing where it does not say."""
        try:
            told = await self._asked("INFO", "server")
        except Refused:
            return b""
        found = re.search(rb"run_id:(\w+)", told if isinstance(told, bytes) else str(told).encode())
        return found[1] if found else b""

    async def _adopt(self, run: bytes, *, is_opening: bool) -> None:
        """See to it that nothing counts that another run of the server wrote."""
        if not run and is_opening:
            logger.warning("a cache may not ask Redis for INFO: it cannot tell when the server is started anew")
        run, is_any = run or b"unknown", not run and not is_opening
        stamp, generation = self.new_stamp(), self._layout.generation
        await self._asked("EVAL", scripts.ADOPT, 1, generation, stamp, run, int(is_any))
        self._run = run

    async def _settle(self) -> None:
        with anyio.move_on_after(2 * self.timeout):
            while self._dropping:  # noqa: ASYNC110 - each ends within the time limit
                await anyio.sleep(0.005)
        if not await self._has_paid():
            count = len(self._owed)
            logger.warning("Redis is away: it keeps %d values that have changed until their time is over", count)

    async def _has_paid(self) -> bool:
        try:
            await self._pay_now()
        except NotReached as error:
            self.reason = str(error)
            return False
        return True

    async def _pay_now(self) -> None:
        while debt := self._owes_all:
            await self._asked("DEL", self._layout.generation)
            if self._owes_all == debt:
                self._owes_all = 0
        while self._owed:
            paid = [*islice(self._owed.items(), _AT_ONCE)]
            await self._asked("UNLINK", *(key for key, _ in paid))
            for key, debt in paid:
                if self._owed.get(key) == debt:  # else it is owed once more
                    del self._owed[key]


def _nothing() -> None:
    """What a loss means to a cache that keeps nothing of its own."""


def _says_away(error: Exception) -> bool:
    """Tell whether an error says that the server is away; a refusal, and a pool that is empty for now, do not."""
    if isinstance(error, HeykitError):
        return isinstance(error, Unavailable) and not isinstance(error, Overloaded)
    return True
