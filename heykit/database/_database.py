"""The public face of every database, written once over a lane: where a driver's statements run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Generic, Protocol, Self, TypeVar, get_args, overload

from heykit._resource_health import resource_health
from heykit.database._after_commit import Call, run_all
from heykit.database._rows import Builders, Table, rows_of
from heykit.database.protocol import Connection, Isolation, Row, Transaction
from heykit.errors import DatabaseError
from heykit.health import Health

T = TypeVar("T")
NextBatch = Callable[[], Awaitable[Table]]


class Lane(Protocol):
    """Where statements run: on any connection, on one that is kept, or in a transaction.

    `transaction` opens a transaction, inside one a savepoint, and awaits `committed` after the commit, whatever is
    cancelled meanwhile.
    """

    async def rows(self, sql: str, args: Sequence[object], *, first: bool = False) -> Table: ...
    async def execute(self, sql: str, args: Sequence[object]) -> int: ...
    async def execute_many(self, sql: str, rows: list[Sequence[object]]) -> None: ...
    def batches(self, sql: str, args: Sequence[object]) -> AbstractAsyncContextManager[NextBatch]: ...
    def transaction(self, committed: Call, isolation: Isolation | None) -> AbstractAsyncContextManager[Lane]: ...


class Engine(Protocol):
    """One database that is open."""

    command_timeout: float

    def lane(self) -> Lane: ...
    def kept(self) -> AbstractAsyncContextManager[Lane]: ...
    async def ping(self) -> None: ...
    def stats(self) -> dict[str, int | float]: ...


class _Shared:
    """What a database and all its connections have in common."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.builders = Builders()
        self.after_commit_errors = 0


class _Stream(Generic[T]):
    def __init__(self, next_batch: Callable[[], Awaitable[list[T]]]) -> None:
        self._next_batch = next_batch
        self._batch: list[T] = []

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        if not self._batch:
            self._batch = (await self._next_batch())[::-1]
        if not self._batch:
            raise StopAsyncIteration
        return self._batch.pop()


class _Asked:
    """Every statement of the Connection protocol, over a lane."""

    def __init__(self, shared: _Shared, lane: Lane) -> None:
        self._shared = shared
        self._lane = lane

    @overload
    async def fetch(self, sql: str, *args: object) -> list[Row]: ...
    @overload
    async def fetch(self, sql: str, *args: object, into: type[T]) -> list[T]: ...
    async def fetch(self, sql: str, *args: object, into: type[T] | None = None) -> list[Row] | list[T]:
        table = await self._lane.rows(sql, args)
        return rows_of(table) if into is None else self._shared.builders.build(table, into)

    @overload
    async def fetch_one(self, sql: str, *args: object) -> Row | None: ...
    @overload
    async def fetch_one(self, sql: str, *args: object, into: type[T]) -> T | None: ...
    async def fetch_one(self, sql: str, *args: object, into: type[T] | None = None) -> Row | T | None:
        table = await self._lane.rows(sql, args, first=True)
        if not table.rows:
            return None
        return rows_of(table)[0] if into is None else self._shared.builders.build(table, into)[0]

    async def fetch_value(self, sql: str, *args: object) -> object:
        table = await self._lane.rows(sql, args, first=True)
        return table.rows[0][0] if table.rows else None

    async def execute(self, sql: str, *args: object) -> int:
        return await self._lane.execute(sql, args)

    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        await self._lane.execute_many(sql, list(rows))

    @overload
    def stream(self, sql: str, *args: object) -> AbstractAsyncContextManager[AsyncIterator[Row]]: ...
    @overload
    def stream(self, sql: str, *args: object, into: type[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]: ...
    def stream(
        self,
        sql: str,
        *args: object,
        into: type[T] | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Row]] | AbstractAsyncContextManager[AsyncIterator[T]]:
        if into is None:
            return self._streamed(sql, args, rows_of)
        wanted = into
        return self._streamed(sql, args, lambda table: self._shared.builders.build(table, wanted))

    @asynccontextmanager
    async def _streamed(
        self, sql: str, args: Sequence[object], read: Callable[[Table], list[T]]
    ) -> AsyncGenerator[AsyncIterator[T]]:
        async with self._lane.batches(sql, args) as next_batch:

            async def next_rows() -> list[T]:
                return read(await next_batch())

            yield _Stream(next_rows)

    @asynccontextmanager
    async def transaction(self, *, isolation: Isolation | None = None) -> AsyncGenerator[Transaction]:
        if isolation is not None and isolation not in get_args(Isolation):
            raise DatabaseError(f"there is no isolation {isolation!r}: take one of {', '.join(get_args(Isolation))}")
        calls: list[Call] = []

        async def committed() -> None:
            self._shared.after_commit_errors += await run_all(calls, self._shared.engine.command_timeout)

        async with self._lane.transaction(committed, isolation) as lane:
            with _Transaction(self._shared, lane, calls) as transaction:
                yield transaction


class _Transaction(_Asked):
    def __init__(self, shared: _Shared, lane: Lane, calls: list[Call]) -> None:
        super().__init__(shared, lane)
        self._calls = calls
        self._over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True

    def after_commit(self, call: Callable[[], Awaitable[object]], /) -> None:
        if self._over:
            raise DatabaseError("the transaction is over: call after_commit inside its block")
        self._calls.append(call)

    @asynccontextmanager
    async def transaction(self, *, isolation: Isolation | None = None) -> AsyncGenerator[Transaction]:
        calls: list[Call] = []

        async def released() -> None:
            self._calls.extend(calls)

        if isolation is not None:
            raise DatabaseError("a transaction within another has that one's isolation: give it to the outermost")
        async with self._lane.transaction(released, None) as lane:
            with _Transaction(self._shared, lane, calls) as transaction:
                yield transaction


class OpenDatabase(_Asked):
    """The Database protocol over an engine."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(_Shared(engine), engine.lane())

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        async with self._shared.engine.kept() as lane:
            yield _Asked(self._shared, lane)

    async def health(self) -> Health:
        return await resource_health(self._shared.engine.ping, self.stats)

    def stats(self) -> Mapping[str, int | float]:
        return {**self._shared.engine.stats(), "after_commit_errors": self._shared.after_commit_errors}
