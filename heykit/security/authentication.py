"""Logging in by name and password."""

from __future__ import annotations

from typing import TypeVar

from heykit.security.protocol import Account, Passwords, UserStore

U = TypeVar("U", bound=Account)


async def authenticate(store: UserStore[U], name: str, password: str, *, passwords: Passwords) -> U | None:
    """Give the user of that name if the password is right, else `None`.

    A name that nobody has takes as long as a wrong password, so that no clock tells who has an account.
    """
    user = await store.by_name(name)
    hashed = None if user is None else user.password_hash
    return user if await passwords.verify(password, hashed) else None
