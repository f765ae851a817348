"""PostgreSQL over asyncpg: a pool, one statement at a time on each connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache
from typing import TypeVar

import asyncpg

from heykit._connection_limits import Limits
from heykit._connections import Pool
from heykit._driver import Driver
from heykit._feeds import Feed, Feeds, Lost, Resumed
from heykit._finish import finish
from heykit.database._after_commit import Call
from heykit.database._database import Lane, NextBatch, OpenDatabase
from heykit.database._postgres_errors import connecting_failed, server_of, translated
from heykit.database._postgres_listen import check_channels, notifications
from heykit.database._postgres_session import OVER, Session, cleaned, require, told
from heykit.database._postgres_traces import leaves_traces
from heykit.database._rows import Table
from heykit.database._values import plain
from heykit.database.protocol import Isolation, Notification, PostgresDatabase
from heykit.errors import DatabaseError, HeykitError, TimedOut, Unavailable

T = TypeVar("T")

_BATCH = 256  # rows
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})


@asynccontextmanager
async def open_postgres(
    url: str,
    *,
    max_connections: int,
    connection_timeout: float,
    command_timeout: float,
    retry_attempts: int,
    health_check_interval: float,
    min_connections: int,
    max_lifetime: float,
    statement_cache_size: int,
    report_held: float,
) -> AsyncGenerator[PostgresDatabase]:
    limits = Limits(
        max_connections,
        connection_timeout,
        retry_attempts,
        health_check_interval,
        min_connections=min_connections,
        lifetime=max_lifetime,
        held=report_held,
    )
    if not command_timeout > 0:
        raise ValueError("command_timeout must be above 0")
    engine = _Postgres(url, limits, command_timeout, statement_cache_size)
    try:
        await engine.ping()
        engine.pool.start()
        yield _OpenPostgres(engine)
    finally:
        engine.feeds.close()
        await finish(engine.pool.close())


class _Postgres:
    def __init__(self, url: str, limits: Limits, command_timeout: float, statement_cache_size: int) -> None:
        self.command_timeout = command_timeout
        self.leaves_traces = lru_cache(maxsize=512)(leaves_traces)
        self._server = server_of(url)
        self._limits = limits
        self.feeds = Feeds(lambda: DatabaseError("the database is closed"))
        self._retry_attempts = limits.retry_attempts

        async def connecting() -> asyncpg.Connection:
            return await asyncpg.connect(
                url,
                timeout=limits.connection_timeout,
                command_timeout=command_timeout,
                statement_cache_size=statement_cache_size,
                server_settings={"timezone": "UTC"},  # so that date(column) means the same day as in SQLite
            )

        self._connect = connecting
        driver = Driver(
            "PostgreSQL",
            self._connect,
            refused=lambda error: connecting_failed(error, self._server),
            ask=lambda connection, limit: connection.execute("SELECT 1", timeout=limit),
            clean=cleaned,
            closed=lambda said: DatabaseError(f"the database {said}"),
        )
        self.pool = Pool(driver, limits)

    def lane(self) -> Lane:
        return _PostgresLane(self, None)

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[Lane]:
        async with self.session() as session:
            yield _PostgresLane(self, session)

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        session = Session(await self.pool.acquire(), self._server)
        try:
            yield session
        except BaseException as error:
            await self.give_back(session, error)
            raise
        await self.give_back(session)

    async def begun(self, begin: str) -> Session:
        """Give a session in a transaction. A BEGIN that was lost has had no effect, so another connection may try."""
        attempts_left = self._retry_attempts
        while True:
            session = Session(await self.pool.acquire(), self._server)
            try:
                await session.control(begin)
            except BaseException as error:
                await self.give_back(session, error)
                if not isinstance(error, Unavailable) or isinstance(error, TimedOut) or not attempts_left:
                    raise
                attempts_left -= 1
            else:
                return session

    async def give_back(self, session: Session, error: BaseException | None = None) -> None:
        """Return a session's connection; after a cancellation or a lost answer nobody waits until it is clean."""
        session.over = True
        connection = session.connection
        clean = not (session.traces or session.is_asked() or connection.is_closed() or connection.is_in_transaction())
        if clean and error is None:
            self.pool.take_back(connection)
        elif error is None or (isinstance(error, Exception) and not isinstance(error, Unavailable)):
            await self.pool.release(connection)
        else:
            self.pool.release_later(connection)

    async def once(self, sql: str, ask: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run one statement on a connection of its own: the usual case, at the least cost."""
        attempts_left = self._retry_attempts
        while True:
            connection = self.pool.taken() or await self.pool.acquire()
            try:
                answer = await ask(connection)
                require(not connection.is_in_transaction())
            except BaseException as error:
                known = error
                if isinstance(error, Exception):
                    known = told(translated(error, self._server), certain=not self.leaves_traces(sql))
                await self.give_back(Session(connection, self._server), known)
                if not attempts_left or not _may_be_repeated(known):
                    if known is error:
                        raise
                    raise known from None  # the driver's own text, which a traceback would show, holds values
                attempts_left -= 1
                continue
            if self.leaves_traces(sql):
                await self.pool.release(connection)
            else:
                self.pool.take_back(connection)
            return answer

    def heard(self, channels: Sequence[str]) -> Feed[Notification]:
        limits = self._limits
        opening = notifications(self._connect, channels, self._server, limits.connection_timeout)
        return Feed(opening, interval=limits.health_check_interval, limit=limits.connection_timeout)

    async def ping(self) -> None:
        async with self.session() as session:
            await session.control("SELECT 1")

    def stats(self) -> dict[str, int | float]:
        return self.pool.stats()


class _OpenPostgres(OpenDatabase):
    def __init__(self, engine: _Postgres) -> None:
        super().__init__(engine)
        self._engine = engine

    def listen(self, *channels: str) -> AbstractAsyncContextManager[AsyncIterator[Notification | Lost | Resumed]]:
        check_channels(channels)
        return self._engine.feeds.opened(self._engine.heard(channels))


class _PostgresLane:
    """Statements on any connection of the pool, or on the one session they are given."""

    def __init__(self, engine: _Postgres, session: Session | None, *, inside: bool = False) -> None:
        self._engine = engine
        self._session = session
        self._inside = inside
        self._over = False

    async def rows(self, sql: str, args: Sequence[object], *, first: bool = False) -> Table:
        values = plain(args)
        if first:
            record = await self._asked(sql, lambda connection: connection.fetchrow(sql, *values))
            return _table([] if record is None else [record])
        return _table(await self._asked(sql, lambda connection: connection.fetch(sql, *values)))

    async def execute(self, sql: str, args: Sequence[object]) -> int:
        values = plain(args)
        return _changed(await self._asked(sql, lambda connection: connection.execute(sql, *values)))

    async def execute_many(self, sql: str, rows: list[Sequence[object]]) -> None:
        values = [plain(row) for row in rows]
        await self._asked(sql, lambda connection: connection.executemany(sql, values))

    @asynccontextmanager
    async def batches(self, sql: str, args: Sequence[object]) -> AsyncGenerator[NextBatch]:
        values = plain(args)
        async with self._reading() as session:
            async with session.asked(traces=self._engine.leaves_traces(sql)) as connection:
                cursor = await connection.cursor(sql, *values, timeout=self._engine.command_timeout)

            async def next_batch() -> Table:
                async with session.asked():
                    return _table(await cursor.fetch(_BATCH, timeout=self._engine.command_timeout))

            yield next_batch

    @asynccontextmanager
    async def transaction(self, committed: Call, isolation: Isolation | None) -> AsyncGenerator[Lane]:
        self._check_open()
        own = self._session is None
        session = self._session or await self._engine.begun(_beginning(isolation))
        lane = _PostgresLane(self._engine, session, inside=True)
        begin, undo, keep = self._steps(session, isolation)
        try:
            if not own:
                await session.control(begin)
            yield lane
        except BaseException as error:
            lane._over = True
            if own:
                await self._engine.give_back(session, error)  # which rolls back
            else:
                with suppress(HeykitError):  # what went wrong before is what the caller must hear
                    await finish(session.control(undo))
            raise
        lane._over = True
        await finish(self._end(session, undo, keep, committed))

    async def _end(self, session: Session, undo: str, keep: str, committed: Call) -> None:
        try:
            _check_kept(await session.control(keep))
        except BaseException as error:
            if self._session is None:
                await self._engine.give_back(session, error)
            else:
                with suppress(HeykitError):
                    await session.control(undo)
            raise
        if self._session is None:
            await self._engine.give_back(session)
        await committed()

    def _steps(self, session: Session, isolation: Isolation | None) -> tuple[str, str, str]:
        """Give the statements that begin a transaction or a savepoint, undo it and keep it."""
        if not self._inside:
            return _beginning(isolation), "ROLLBACK", "COMMIT"
        session.savepoints += 1
        name = f"heykit_{session.savepoints}"
        return f"SAVEPOINT {name}", f"ROLLBACK TO {name}; RELEASE {name}", f"RELEASE {name}"

    async def _asked(self, sql: str, ask: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        self._check_open()
        if self._session is None:
            return await self._engine.once(sql, ask)
        async with self._session.asked(traces=self._engine.leaves_traces(sql)) as connection:
            return await ask(connection)

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[Session]:
        """Lend a session in a transaction, which a cursor needs; one opened for the stream can only read."""
        self._check_open()
        if self._session is None:
            async with self._engine.session() as session:
                await session.control("BEGIN READ ONLY")
                yield session
        elif self._session.in_transaction():
            yield self._session
        else:
            await self._session.control("BEGIN READ ONLY")
            try:
                yield self._session
            finally:
                with suppress(HeykitError):
                    await finish(self._session.control("ROLLBACK"))

    def _check_open(self) -> None:
        if self._over:
            raise DatabaseError(OVER)


def _beginning(isolation: Isolation | None) -> str:
    return "BEGIN" if isolation is None else f"BEGIN ISOLATION LEVEL {isolation.upper()}"


def _may_be_repeated(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and error.had_no_effect and not isinstance(error, TimedOut)


def _table(records: list[asyncpg.Record]) -> Table:
    return Table(tuple(records[0].keys()), [tuple(record) for record in records]) if records else Table((), [])


def _check_kept(status: str) -> None:
    # A transaction in which a statement has failed answers COMMIT with ROLLBACK.
    if status == "ROLLBACK":
        raise DatabaseError(
            "a statement of the transaction failed, so all was rolled back: let its error leave the block"
        )


def _changed(status: str) -> int:
    """Read the number of rows from a command's tag, such as "INSERT 0 3"; only a change has one that counts."""
    command, _, rest = status.partition(" ")
    return int(rest.rpartition(" ")[2]) if command in _CHANGES else 0
