"""Logging in by name and password."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heykit.errors import HeykitError, Throttled
from heykit.security.audit import AccountLocked, Audit, LoginFailed, report
from heykit.security.protocol import Account, Passwords, UserStore
from heykit.security.throttle import Throttle

U = TypeVar("U", bound=Account)

logger = logging.getLogger("heykit.security")


async def authenticate(
    store: UserStore[U],
    name: str,
    password: str,
    *,
    passwords: Passwords,
    throttle: Throttle | None = None,
    upgrade: Callable[[U, str], Awaitable[object]] | None = None,
    audit: Audit | None = None,
    ip: str = "",
    user_agent: str = "",
    now: Callable[[], float] = time.time,
) -> U | None:
    """Give the user of that name if the password is right, else `None`.

    A name that nobody has takes as long as a wrong password, so that no clock tells who has an account. `upgrade` is
    called with the user and a new hash, where the stored one is outdated: let it change the hash only if it is still
    the user's. `ip` is what the throttle counts as the address.

    :raises Throttled: there were too many attempts, and this one was not even tried
    """
    if throttle is not None:
        try:
            await throttle.attempt(name, ip)
        except Throttled as locked:
            report(
                audit,
                AccountLocked(at=now(), ip=ip, user_agent=user_agent, by=locked.by, retry_after=locked.retry_after),
            )
            raise
    user = await store.by_name(name)
    hashed = None if user is None else user.password_hash
    if not await passwords.verify(password, hashed) or user is None or hashed is None:
        account = None if user is None else name
        report(audit, LoginFailed(at=now(), ip=ip, user_agent=user_agent, account=account))
        return None
    if throttle is not None:
        await throttle.succeeded(name, ip)
    if upgrade is not None and passwords.is_outdated(hashed):
        await _upgrade(upgrade, user, await passwords.hash(password))
    return user


async def _upgrade(upgrade: Callable[[U, str], Awaitable[object]], user: U, hashed: str) -> None:
    """Store the new hash; who logged in does so, also where that fails, and the next login tries again."""
    try:
        await upgrade(user, hashed)
    except HeykitError as error:
        logger.warning("a password could not be hashed anew: %s", error)
