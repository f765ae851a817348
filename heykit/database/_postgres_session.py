"""One connection to PostgreSQL while it is lent: one statement at a time, and what it may leave behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from heykit.database._postgres_errors import translated
from heykit.errors import DatabaseError, HeykitError

if TYPE_CHECKING:
    import asyncpg

OVER: Final = "this block is over: ask the database, or open another"


class Session:
    """One connection, asked by one task at a time: asyncpg refuses a second statement while one is under way.

    `traces`: whether a statement may have left something in it for whoever comes next.
    """

    def __init__(self, connection: asyncpg.Connection, server: str) -> None:
        self.connection = connection
        self.traces = False
        self._server = server
        self._turn = asyncio.Lock()
        self.savepoints = 0
        self.over = False

    def in_transaction(self) -> bool:
        return not self.connection.is_closed() and self.connection.is_in_transaction()

    @asynccontextmanager
    async def asked(self, *, traces: bool = False) -> AsyncGenerator[asyncpg.Connection]:
        """Lend the connection for one statement."""
        async with self._translating() as connection:
            if self.over:  # also where it ended while this one waited for its turn
                raise DatabaseError(OVER)
            before = self.in_transaction()
            self.traces = self.traces or traces
            try:
                yield connection
            except Exception as error:  # noqa: BLE001 - raised again, in heykit's words
                raise told(translated(error, self._server), certain=before or not traces) from None
            require(before == self.in_transaction())

    def is_asked(self) -> bool:
        """Tell whether a statement is still under way, or waits for its turn."""
        return self._turn.locked()

    async def control(self, sql: str) -> str:
        """Run a statement that begins or ends a transaction."""
        async with self._translating() as connection:
            return await connection.execute(sql)

    @asynccontextmanager
    async def _translating(self) -> AsyncGenerator[asyncpg.Connection]:
        async with self._turn:
            try:
                yield self.connection
            except Exception as error:  # noqa: BLE001 - every error leaves in heykit's words
                self.traces = True
                # From None: the driver's own text, which a traceback would show, holds values.
                raise translated(error, self._server) from None
            except BaseException:
                self.traces = True  # what was begun may still be answered
                raise


async def cleaned(connection: asyncpg.Connection, limit: float) -> None:
    """Leave nothing in it for the next user: no transaction, no locks, no settings."""
    await _clean(connection, limit)
    if not connection.is_closed() and connection.is_in_transaction():
        # Its BEGIN was under way when the caller was cancelled, and has been answered only now.
        await _clean(connection, limit)


async def _clean(connection: asyncpg.Connection, limit: float) -> None:
    if not connection.is_closed() and connection.is_in_transaction():
        await connection.execute("ROLLBACK", timeout=limit)
    if not connection.is_closed():
        await connection.reset(timeout=limit)


def require(as_before: bool) -> None:
    if not as_before:
        raise DatabaseError("BEGIN, COMMIT and ROLLBACK are not statements here: use `async with transaction()`")


def told(error: HeykitError, *, certain: bool) -> HeykitError:
    """What is no plain statement, a procedure or several statements, may have committed before it failed."""
    error.had_no_effect = error.had_no_effect and certain
    return error
