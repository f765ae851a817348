"""What sessions need of a store: few steps, each whole or not at all, and no rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from heykit.security._session import Session


class SessionStore(Protocol):
    """Sessions by id, and an epoch for each user: those of another epoch than their user's are not there."""

    async def add(self, session: Session, /, *, limit: int, now: float) -> tuple[Session, Sequence[Session]]:
        """Keep a session under its user's epoch. Give it as kept, and the oldest of the user's that had to leave."""

    async def find(self, id: str, /) -> Session | None: ...

    async def of_user(self, user: str, /) -> Sequence[Session]: ...

    async def touch(self, session: Session, /, *, now: float) -> None:
        """Write when the session was seen and will end, where it is still there."""

    async def advance(self, session: Session, /, *, now: float) -> bool:
        """Let the generation of this session follow the one before it: true for one caller alone."""

    async def rename(self, session: Session, id: str, /, *, now: float) -> Session | None:
        """Give a session another id, and its refresh tokens a new beginning, and give it as it is kept.

        That is for one caller alone, and `None` for any other.
        """

    async def remove(self, id: str, /) -> Session | None: ...

    async def remove_all(self, user: str, /, *, keep: str | None) -> Sequence[Session]:
        """Begin the user's next epoch, and take the session to keep along. Give those that ended."""

    async def epoch(self, user: str, /) -> int: ...

    async def count(self, *, now: float) -> int:
        """Count those that have not ended, up to 10,000."""
