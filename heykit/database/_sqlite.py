"""SQLite: one connection in one thread; a transaction is alone with it.

Durable by choice: WAL with `synchronous=FULL`, since under NORMAL a commit may be lost to a power cut, and whoever was
told "done" was told wrong. Streams read on connections of their own in the same thread, so a slow reader holds nobody
up and sees one moment of the database.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache, partial
from typing import TypeVar, cast

from heykit._finish import finish
from heykit.database._after_commit import Call
from heykit.database._database import Lane, NextBatch, OpenDatabase
from heykit.database._rows import Table
from heykit.database._sqlite_file import Identity, absolute, identity_of, open_file, open_reader, require_same
from heykit.database._sqlite_group import is_change
from heykit.database._sqlite_text import bindings, placeholders, statements
from heykit.database._sqlite_thread import Hold, SqliteThread
from heykit.database._sqlite_work import atomically, changed, columns_of, fetched, run
from heykit.database.protocol import Database, Isolation
from heykit.errors import DatabaseError, HeykitError

R = TypeVar("R")
_BATCH = 256  # rows
_CLOSING_TIME_LIMIT = 10.0  # seconds


@asynccontextmanager
async def open_sqlite(
    path: str,
    *,
    command_timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[Database]:
    # Streams open the file again, perhaps after the process has changed its directory.
    engine = _Sqlite(absolute(path), command_timeout, clock)
    try:
        await engine.thread.opened
        yield OpenDatabase(engine)
    finally:
        await finish(engine.thread.close(_CLOSING_TIME_LIMIT))


class _Sqlite:
    def __init__(self, path: str, command_timeout: float, clock: Callable[[], float]) -> None:
        self.path = path
        self.command_timeout = command_timeout
        self.identity: Identity | None = None
        self.names = lru_cache(maxsize=512)(placeholders)
        deadline = clock() + command_timeout

        def opening(wanted: Callable[[], bool]) -> sqlite3.Connection:
            connection = open_file(path, lambda: wanted() and clock() < deadline)
            self.identity = identity_of(path)
            return connection

        self.thread = SqliteThread(opening, self.require_same_file, command_timeout, clock)

    def lane(self) -> Lane:
        return _SqliteLane(self, None)

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[Lane]:
        hold = Hold()
        try:
            await self.thread.run(self.thread.job(lambda: None, takes=hold))
            yield _SqliteLane(self, hold)
        finally:
            if self.thread.holder is hold:
                await self.end(self.roll_back, hold)

    async def ping(self) -> None:
        """Read the file, also while others hold the connection; where the disk refused a write, try one."""

        def look() -> None:
            connection = self.thread.connection
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").close()
            if self.thread.disk_refused and not connection.in_transaction:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                connection.execute(f"PRAGMA user_version = {version:d}")
                self.thread.disk_refused = False

        await self.thread.run(self.thread.job(look, at_once=True))

    def stats(self) -> dict[str, int | float]:
        return {"max_connections": 1, **self.thread.figures()}

    async def end(self, work: Callable[[], object], frees: Hold | None, then: Call | None = None) -> None:
        """Do the last work of a block, whatever is cancelled, and await `then` if it succeeds."""

        async def both() -> None:
            await self.thread.run(self.thread.job(work, frees=frees, at_once=True, final=True))
            if then is not None:
                await then()

        await finish(both())

    # In the thread.

    def require_same_file(self) -> None:
        require_same(self.path, self.identity)

    def commit(self) -> None:
        connection = self.thread.connection
        self.check_transaction()
        try:
            self.require_same_file()
            connection.execute("COMMIT")
        except (sqlite3.Error, HeykitError):
            self.roll_back()
            raise

    def roll_back(self) -> None:
        if self.thread.connection.in_transaction:
            self.thread.connection.execute("ROLLBACK")

    def check_transaction(self) -> None:
        # An interrupted change, a full disk or ON CONFLICT ROLLBACK ends the whole transaction.
        if not self.thread.connection.in_transaction:
            raise DatabaseError("the transaction was rolled back by SQLite: run it again from its start")


class _SqliteLane:
    """Statements on the main connection: without a hold each waits its turn; a transaction must still be open."""

    def __init__(self, engine: _Sqlite, hold: Hold | None, *, inside: bool = False) -> None:
        self._engine = engine
        self._thread = engine.thread
        self._hold = hold
        self._inside = inside
        self._over = False

    async def rows(self, sql: str, args: Sequence[object], *, first: bool = False) -> Table:
        values = bindings(self._engine.names(sql), args)
        work = partial(fetched, self._thread.connection, sql, values, first=first)
        return await self._run(work, joins=is_change(sql))

    async def execute(self, sql: str, args: Sequence[object]) -> int:
        parts = [] if args or ";" not in sql else statements(sql)
        if len(parts) > 1:
            return await self._run(lambda: atomically(self._thread.connection, lambda: self._script(parts)))
        values = bindings(self._engine.names(sql), args)
        return await self._run(partial(changed, self._thread.connection, sql, values), joins=is_change(sql))

    async def execute_many(self, sql: str, rows: list[Sequence[object]]) -> None:
        names = self._engine.names(sql)
        values = [bindings(names, row) for row in rows]
        connection = self._thread.connection
        await self._run(lambda: atomically(connection, lambda: connection.executemany(sql, values).close()))

    @asynccontextmanager
    async def batches(self, sql: str, args: Sequence[object]) -> AsyncGenerator[NextBatch]:
        values = bindings(self._engine.names(sql), args)
        if self._hold is not None:
            async with self._reading(sql, values, None) as next_batch:
                yield next_batch
        elif self._engine.path == ":memory:":  # which nobody else can open
            async with self._engine.kept() as lane, lane.batches(sql, args) as next_batch:
                yield next_batch
        else:
            async with self._beside() as reader, self._reading(sql, values, reader) as next_batch:
                yield next_batch

    @asynccontextmanager
    async def transaction(self, committed: Call, isolation: Isolation | None) -> AsyncGenerator[Lane]:
        # It is alone with the connection, and BEGIN IMMEDIATE with the file: every isolation there is.
        self._check_open()
        hold = self._hold or Hold()
        own = hold if self._hold is None else None
        lane = _SqliteLane(self._engine, hold, inside=True)
        begin, undo, keep = self._steps(hold)
        begun: list[bool] = []

        def start() -> None:
            if self._inside:
                self._engine.check_transaction()
            self._thread.connection.execute(begin)
            begun.append(True)

        try:
            await self._thread.run(self._thread.job(start, takes=own, at_once=own is None))
            yield lane
        except BaseException:
            lane._over = True
            if own is None or self._thread.holder is own:
                with suppress(HeykitError):  # what went wrong before is what the caller must hear
                    await self._engine.end(lambda: undo() if begun else None, own)
            raise
        lane._over = True
        await self._engine.end(keep, own, committed)

    def _steps(self, hold: Hold) -> tuple[str, Callable[[], None], Callable[[], None]]:
        """Give the statement that begins a transaction or a savepoint, and what undoes and what keeps it."""
        if not self._inside:
            return "BEGIN IMMEDIATE", self._engine.roll_back, self._engine.commit
        hold.savepoints += 1
        name = f"heykit_{hold.savepoints}"
        connection = self._thread.connection

        def undo() -> None:
            if connection.in_transaction:
                run(connection, [f"ROLLBACK TO {name}", f"RELEASE {name}"])

        def keep() -> None:
            self._engine.check_transaction()
            connection.execute(f"RELEASE {name}")

        return f"SAVEPOINT {name}", undo, keep

    @asynccontextmanager
    async def _beside(self) -> AsyncGenerator[sqlite3.Connection]:
        """Open a second connection in the thread, for reading only."""
        beside: set[sqlite3.Connection] = set()

        def opened() -> sqlite3.Connection:
            reader = open_reader(self._engine.path)
            beside.add(reader)
            self._thread.beside.add(reader)
            return reader

        def closed() -> None:
            for reader in beside:
                self._thread.beside.discard(reader)
                reader.close()

        try:
            yield cast("sqlite3.Connection", await self._thread.run(self._thread.job(opened, at_once=True)))
        finally:
            await self._engine.end(closed, None)

    @asynccontextmanager
    async def _reading(
        self, sql: str, values: dict[str, object], beside: sqlite3.Connection | None
    ) -> AsyncGenerator[NextBatch]:
        cursors: list[sqlite3.Cursor] = []

        def started() -> tuple[str, ...]:
            cursors.append((beside or self._thread.connection).cursor())
            if beside is None:
                self._thread.cursors.update(cursors)
            return columns_of(cursors[0].execute(sql, values))

        def ended() -> None:
            self._thread.cursors.difference_update(cursors)
            for cursor in cursors:
                cursor.close()

        try:
            columns = await self._run(started, beside)

            async def next_batch() -> Table:
                return Table(columns, await self._run(lambda: cursors[0].fetchmany(_BATCH), beside))

            yield next_batch
        finally:
            await self._engine.end(ended, None)

    async def _run(self, work: Callable[[], R], beside: sqlite3.Connection | None = None, *, joins: bool = False) -> R:
        self._check_open()
        job = self._thread.job(
            work if beside else lambda: self._guarded(work),
            at_once=self._hold is not None or beside is not None,
            joins=joins and self._hold is None,
            beside=beside,
        )
        return cast("R", await self._thread.run(job))

    def _check_open(self) -> None:
        if self._over or (self._hold is not None and self._hold.over):
            raise DatabaseError("this block is over: ask the database, or open another")

    # In the thread.

    def _guarded(self, work: Callable[[], R]) -> R:
        connection = self._thread.connection
        before = connection.in_transaction
        if self._inside:
            self._engine.check_transaction()
        result = work()
        if connection.in_transaction != before:
            self._engine.roll_back()
            raise DatabaseError("BEGIN, COMMIT and ROLLBACK are not statements here: use `async with transaction()`")
        return result

    def _script(self, parts: list[str]) -> int:
        return [changed(self._thread.connection, part, {}) for part in parts][-1]
