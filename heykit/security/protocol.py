"""What security offers and what it needs of others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, TypeVar


class Passwords(Protocol):
    """Passwords turned into text that can be stored, and checked against it.

    `verify` of `None` (nobody has that name) is never true, and takes as long as any other. `is_outdated` tells whether
    a password should be hashed anew, since it was hashed in a way that is weaker than today's.
    """

    async def hash(self, password: str, /) -> str: ...
    async def verify(self, password: str, hashed: str | None, /) -> bool: ...
    def is_outdated(self, hashed: str, /) -> bool: ...


class Account(Protocol):
    """Someone who may log in. Without a hash nobody can, by password."""

    @property
    def password_hash(self) -> str | None: ...


U_co = TypeVar("U_co", bound=Account, covariant=True)


class UserStore(Protocol[U_co]):
    """Where accounts are found by the name given at login."""

    async def by_name(self, name: str, /) -> U_co | None: ...


class Commands(Protocol):
    """What security needs of Redis; `heykit.resources.redis_client` satisfies it."""

    async def execute(self, *command: str | bytes | float) -> object: ...


class Record(Protocol):
    """A row of a database: columns by name."""

    def __getitem__(self, column: str, /) -> object: ...


class Statements(Protocol):
    """What security needs of a transaction: one SQL text with `$1` placeholders, for PostgreSQL and SQLite."""

    async def fetch(self, sql: str, *args: object) -> Sequence[Record]: ...
    async def execute(self, sql: str, *args: object) -> int: ...


class SecurityDatabase(Statements, Protocol):
    """What security needs of a database; `heykit.database` satisfies it."""

    def transaction(self) -> AbstractAsyncContextManager[Statements]: ...
