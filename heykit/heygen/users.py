"""The people who use the service: registered, found, listed, given roles.

    people = user_store(database, passwords)
    user = await people.register("ada", "correct horse battery staple")
    user = await authenticate(people, "Ada", password, passwords=passwords)  # it is a UserStore
    has_permission(user, "write:videos")  # and a user is Permitted

A `User` holds the hash of a password: show people its `profile`, never the whole.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias, get_args

from heykit.cache import Cache, cached
from heykit.database.protocol import Database
from heykit.heygen.errors import Conflict, Invalid, NotFound
from heykit.heygen.forgetting import changing
from heykit.heygen.ids import is_id, new_id
from heykit.heygen.instants import instant
from heykit.heygen.pages import Page, checked_limit, page, place_of
from heykit.security.access import Role, permissions_of
from heykit.security.protocol import Passwords

__all__ = ["ROLES", "Owner", "Profile", "RoleName", "User", "Users", "user_store"]

RoleName: TypeAlias = Literal["user", "admin"]

ROLES = (
    Role("user", {"read:videos", "write:videos", "read:avatars", "read:analytics"}),
    Role("admin", {"read:users", "write:users", "*"}, includes={"user"}),
)

_NAME = re.compile(r"[A-Za-z0-9_.-]{3,64}")
_SHORTEST_PASSWORD = 8  # characters, as in `check_password` of security
_LONGEST_PASSWORD = 1024  # bytes: RFC 9106's input is octets, and so is the hashes' limit


@dataclass(frozen=True)
class Profile:
    """What people may see of a user."""

    id: str
    name: str
    role: RoleName
    created_at: datetime

    @property
    def roles(self) -> frozenset[str]:
        return frozenset({self.role})

    @property
    def permissions(self) -> frozenset[str]:
        return permissions_of(self.roles, ROLES)


class Owner(Protocol):
    """Whoever has videos: a user, or their profile. Permissions are for their own."""

    @property
    def id(self) -> str: ...


@dataclass(frozen=True)
class User:
    """Somebody registered."""

    id: str
    name: str
    password_hash: str = field(repr=False)
    role: RoleName
    created_at: datetime

    @property
    def profile(self) -> Profile:
        return Profile(self.id, self.name, self.role, self.created_at)

    @property
    def roles(self) -> frozenset[str]:
        return self.profile.roles

    @property
    def permissions(self) -> frozenset[str]:
        return self.profile.permissions


class Users(Protocol):
    """Everybody registered; names are one and the same in upper and lower case."""

    async def register(self, name: str, password: str, /) -> User:
        """Add a user with the role "user". Invalid where name or password break a rule, Conflict for a name taken."""
        ...

    async def by_name(self, name: str, /) -> User | None: ...
    async def by_id(self, id: str, /) -> User | None: ...
    async def profile(self, id: str, /) -> Profile | None: ...
    async def page(self, cursor: str | None = None, /, *, limit: int = 20) -> Page[User]:
        """List users, newest first. Invalid for a cursor that is none, or a limit outside 1 to 100."""
        ...

    async def change_password_hash(self, user: User, hashed: str, /) -> bool:
        """Give a user another hash, unless theirs is not the one they came with any more; tell whether it was."""
        ...

    async def grant(self, name: str, role: str, /) -> User:
        """Give a user another role. NotFound for a name that nobody has, Invalid for a role that is none."""
        ...


def user_store(
    database: Database,
    passwords: Passwords,
    *,
    cache: Cache[Profile | None] | None = None,
    now: Callable[[], float] = time.time,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Users:
    """Give the users of a database that has our tables (`MIGRATIONS`); it needs no closing.

    Profiles are read through the cache, and looked up anew once they have changed.
    """
    return _Users(database, passwords, cache, now, entropy)


class _Users:
    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        cache: Cache[Profile | None] | None,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._cache = cache
        self._profile_of = self._profile if cache is None else cached(cache, tags=lambda id: (id,))(self._profile)
        self._now = now
        self._entropy = entropy

    async def register(self, name: str, password: str, /) -> User:
        _check_name(name)
        _check_password(password)
        hashed = await self._passwords.hash(password)
        # ON CONFLICT rather than an error: a failed statement would end a transaction of PostgreSQL.
        added = await self._database.fetch_one(
            "INSERT INTO users (id, name, login, password_hash, role, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (login) DO NOTHING RETURNING *",
            new_id(self._entropy),
            name,
            name.lower(),
            hashed,
            "user",
            instant(self._now()),
            into=User,
        )
        if added is None:
            raise Conflict(f"name: {name!r} is taken, choose another")
        return added

    async def by_name(self, name: str, /) -> User | None:
        if not _NAME.fullmatch(name):
            return None
        return await self._database.fetch_one("SELECT * FROM users WHERE login = $1", name.lower(), into=User)

    async def by_id(self, id: str, /) -> User | None:
        if not is_id(id):
            return None
        return await self._database.fetch_one("SELECT * FROM users WHERE id = $1", id, into=User)

    async def profile(self, id: str, /) -> Profile | None:
        return await self._profile_of(id)

    async def _profile(self, id: str) -> Profile | None:
        user = await self.by_id(id)
        return None if user is None else user.profile

    async def page(self, cursor: str | None = None, /, *, limit: int = 20) -> Page[User]:
        after = place_of(cursor)
        found = await self._database.fetch(
            "SELECT * FROM users WHERE (created_at, id) < ($1, $2) ORDER BY created_at DESC, id DESC LIMIT $3",
            after.created_at,
            after.id,
            checked_limit(limit) + 1,
            into=User,
        )
        return page(found, limit)

    async def change_password_hash(self, user: User, hashed: str, /) -> bool:
        changed = await self._database.execute(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
            user.id,
            user.password_hash,
            hashed,
        )
        return changed == 1

    async def grant(self, name: str, role: str, /) -> User:
        if role not in get_args(RoleName):
            raise Invalid("role", f"one of {', '.join(get_args(RoleName))}")
        user = await self.by_name(name)
        granted = None
        if user is not None:
            async with changing(self._cache, user.id):
                granted = await self._database.fetch_one(
                    "UPDATE users SET role = $2 WHERE id = $1 RETURNING *", user.id, role, into=User
                )
        if granted is None:
            raise NotFound("nobody has that name")
        return granted


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Invalid("name", "3 to 64 of the letters A to Z, digits, '_', '.' and '-'")


def _check_password(password: str) -> None:
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        raise Invalid("password", "it is not valid Unicode text") from None
    if len(password) < _SHORTEST_PASSWORD or size > _LONGEST_PASSWORD:
        raise Invalid("password", f"{_SHORTEST_PASSWORD} characters or more, up to {_LONGEST_PASSWORD} bytes in UTF-8")
