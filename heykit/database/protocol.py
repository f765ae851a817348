"""What can be asked of a database, whichever it is: one SQL text with `$1` placeholders serves them all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, overload

from heykit._feeds import Lost, Resumed
from heykit.health import Health

T = TypeVar("T")
Isolation = Literal["read committed", "repeatable read", "serializable"]
"""What a transaction may see of others, in the words of the SQL standard."""


class Row(Protocol):
    """A row as the database gives it: columns by name."""

    def __getitem__(self, column: str, /) -> object: ...
    def keys(self) -> Iterable[str]: ...


class Connection(Protocol):
    """What can be asked of a database, of one connection and of a transaction alike.

    `into=` builds a dataclass from each row, fields by column name, typed. `fetch_value` gives the first column of the
    first row, None where there is none. `execute` gives the number of rows changed; without arguments it takes several
    statements, runs all or none, and gives the last one's number. `execute_many` runs one statement with each
    row's arguments, all or none. `stream` reads a SELECT in batches. `transaction` takes the isolation that it needs at
    least, where the database's own default is not enough; what loses against another transaction is rolled back and
    raises Unavailable with `had_no_effect`, so that `retry` around all of it makes it run again.

    Every method raises IntegrityError when a constraint refuses a change, DatabaseError for any other statement that is
    refused, Unavailable when the database is away or no connection is free in time, and TimedOut when a statement that
    had begun did not end in time, so that it may or may not have taken effect.
    """

    @overload
    async def fetch(self, sql: str, *args: object) -> list[Row]: ...
    @overload
    async def fetch(self, sql: str, *args: object, into: type[T]) -> list[T]: ...
    @overload
    async def fetch_one(self, sql: str, *args: object) -> Row | None: ...
    @overload
    async def fetch_one(self, sql: str, *args: object, into: type[T]) -> T | None: ...
    async def fetch_value(self, sql: str, *args: object) -> object: ...
    async def execute(self, sql: str, *args: object) -> int: ...
    async def execute_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None: ...
    @overload
    def stream(self, sql: str, *args: object) -> AbstractAsyncContextManager[AsyncIterator[Row]]: ...
    @overload
    def stream(self, sql: str, *args: object, into: type[T]) -> AbstractAsyncContextManager[AsyncIterator[T]]: ...
    def transaction(self, *, isolation: Isolation | None = None) -> AbstractAsyncContextManager[Transaction]: ...


class Transaction(Connection, Protocol):
    """A transaction that is open: its end commits, an exception rolls it back. A nested one is a savepoint."""

    def after_commit(self, call: Callable[[], Awaitable[object]], /) -> None:
        """Run once the outermost transaction has committed, never on rollback.

        The calls run in the order given, shielded, each within the database's `command_timeout`; errors are logged and
        counted, never raised.
        """


class Database(Connection, Protocol):
    """A database with its pool. `connection()` keeps one connection for a block."""

    def connection(self) -> AbstractAsyncContextManager[Connection]: ...
    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...


@dataclass(frozen=True)
class Notification:
    """What `pg_notify` has sent on a channel."""

    channel: str
    payload: str


class PostgresDatabase(Database, Protocol):
    """PostgreSQL, with what it alone can do.

    `listen` hears of what is sent on channels, on a connection of its own beyond `max_connections`, which is opened
    again by itself: `Lost` and `Resumed` tell when, for what was sent between them was missed. So is what nobody has
    read when more than 10,000 notifications wait. Raises what a statement raises.
    """

    def listen(self, *channels: str) -> AbstractAsyncContextManager[AsyncIterator[Notification | Lost | Resumed]]: ...
