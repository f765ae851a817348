"""What security offers and what it needs of others."""

from __future__ import annotations

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
