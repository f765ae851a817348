"""Passwords, hashed with Argon2id where OpenSSL has it, else with scrypt, in threads of their own.

    async with argon2() as passwords:
        stored = await passwords.hash("correct horse battery staple")
        await passwords.verify("correct horse battery staple", stored)  # True

A hash takes about 30 ms and 19 MiB; `at_once` bounds both, and further calls wait in line.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

from heykit._finish import finish
from heykit.health import Health
from heykit.security.protocol import Passwords

__all__ = ["MAX_PASSWORD_BYTES", "Passwords", "argon2"]

# Far above any password, far below what would keep a hash busy. (bcrypt stops at 72, Django at 4096 characters.)
MAX_PASSWORD_BYTES = 1024
_SALT_BYTES = 16  # RFC 9106 §3.1: 16 bytes are recommended for password hashing.


T = TypeVar("T")


class _Scheme(Protocol):
    """One way to hash; a module is one. All but the name block: they are called in threads."""

    @property
    def name(self) -> str: ...
    def hashed(self, password: bytes, salt: bytes) -> str: ...
    def reads(self, stored: str) -> bool: ...
    def is_current(self, stored: str) -> bool: ...
    def matches(self, password: bytes, stored: str) -> bool: ...


async def _argon2(
    *, at_once: int | None = None, entropy: Callable[[int], bytes] = os.urandom
) -> AsyncGenerator[Passwords]:
    """Open passwords of which `at_once` are hashed at the same time (`None`: as many as there are processors).

    A hash of another kind, or one that took more work than today's, takes its own time to check: until its owner logs
    in once more, a clock may tell that there is one.

    :raises ValueError: `at_once` is less than 1
    """
    if at_once is not None and at_once < 1:
        raise ValueError("at_once must be 1 or more: else no password would ever be hashed.")
    limiter = CapacityLimiter(at_once or _processors())
    schemes = await to_thread.run_sync(_available_schemes, limiter=limiter)
    yield _Passwords(schemes, limiter, entropy)


argon2 = asynccontextmanager(_argon2)


class _Passwords:
    """Hashes with the first scheme and checks with any."""

    def __init__(self, schemes: Sequence[_Scheme], limiter: CapacityLimiter, entropy: Callable[[int], bytes]) -> None:
        self._schemes = schemes
        self._limiter = limiter
        self._threads = CapacityLimiter(limiter.total_tokens)  # as many, so that nobody waits twice
        self._entropy = entropy

    async def hash(self, password: str, /) -> str:
        """Hash a password; one of more than 1,024 bytes in UTF-8 is a ValueError."""
        octets = _octets(password)
        if octets is None:
            raise ValueError(f"A password is text of at most {MAX_PASSWORD_BYTES} bytes in UTF-8: ask for another.")
        return await self._in_thread(partial(self._schemes[0].hashed, octets, self._entropy(_SALT_BYTES)))

    async def verify(self, password: str, hashed: str | None, /) -> bool:
        """True if the password is the one; `None`, and what no scheme reads, is refused after the same work."""
        octets = _octets(password)
        if octets is None:
            return False
        return await self._in_thread(partial(self._matches, octets, hashed))

    def is_outdated(self, hashed: str, /) -> bool:
        """True if a hash is of another kind than those made now, or took less work."""
        return not (self._schemes[0].reads(hashed) and self._schemes[0].is_current(hashed))

    async def health(self) -> Health:
        figures = self._limiter.statistics()
        name = self._schemes[0].name
        reason = name if len(self._schemes) > 1 else f"{name}: this OpenSSL has no Argon2, 3.2 or newer has"
        return Health(
            "pass" if len(self._schemes) > 1 else "warn",
            "security",
            reason,
            {"at_once": int(figures.total_tokens), "waiting": figures.tasks_waiting},
        )

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # Who waits in line may leave. A thread is never left behind: however we are cancelled we wait for it, so that
        # the limiter counts what really runs.
        async with self._limiter:
            return await finish(to_thread.run_sync(work, limiter=self._threads))

    def _matches(self, password: bytes, stored: str | None) -> bool:
        matches = False
        for scheme in self._schemes:
            if stored is not None and scheme.reads(stored):
                matches = scheme.matches(password, stored)
                break
        # Nobody's hash, and one that took less work than today's: else a clock would tell who has it.
        if stored is None or self.is_outdated(stored):
            self._schemes[0].hashed(password, bytes(_SALT_BYTES))
        return matches


def _available_schemes() -> Sequence[_Scheme]:
    from heykit.security import _argon2id, _scrypt

    return (_argon2id, _scrypt) if _argon2id.supported() else (_scrypt,)


def _octets(password: str) -> bytes | None:
    # Counted in characters first, so that a huge text is not even encoded.
    if len(password) > MAX_PASSWORD_BYTES:
        return None
    try:
        octets = password.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return octets if len(octets) <= MAX_PASSWORD_BYTES else None


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
