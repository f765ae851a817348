"""Sessions in this process's memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from heykit.security._session import Session, is_active

_FEW = 1000


class SessionsInMemory:
    """It awaits nothing, so whatever it does is done at once."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._ids: dict[str, dict[str, None]] = {}  # of each user, the oldest first
        self._epochs: dict[str, int] = {}
        self._sweep_at = _FEW

    async def add(self, session: Session, /, *, limit: int, now: float) -> tuple[Session, Sequence[Session]]:
        if len(self._sessions) >= self._sweep_at:
            for ended in [each for each in self._sessions.values() if not is_active(each, now)]:
                self._drop(ended)
            self._sweep_at = max(_FEW, 2 * len(self._sessions))
        kept = replace(session, epoch=self._epochs.get(session.user, 0))
        held = [self._sessions[id] for id in self._ids.get(session.user, ())]
        for ended in [each for each in held if not is_active(each, now)]:
            self._drop(ended)
            held.remove(ended)
        leaving = held[: max(0, len(held) + 1 - limit)]
        for each in leaving:
            self._drop(each)
        self._sessions[kept.id] = kept
        self._ids.setdefault(kept.user, {})[kept.id] = None
        return kept, leaving

    async def find(self, id: str, /) -> Session | None:
        return self._sessions.get(id)

    async def of_user(self, user: str, /) -> Sequence[Session]:
        return [self._sessions[id] for id in self._ids.get(user, ())]

    async def touch(self, session: Session, /, *, now: float) -> None:
        found = self._sessions.get(session.id)
        if found is not None:
            self._sessions[session.id] = replace(found, seen_at=session.seen_at, ends_at=session.ends_at)

    async def advance(self, session: Session, /, *, now: float) -> bool:
        found = self._sessions.get(session.id)
        if found is None or found.generation != session.generation - 1:
            return False
        self._sessions[session.id] = session
        return True

    async def rename(self, session: Session, id: str, /, *, now: float) -> Session | None:
        found = self._sessions.get(session.id)
        if found is None:
            return None
        # In the place of the old one: it is as old as before.
        self._ids[session.user] = {id if each == session.id else each: None for each in self._ids[session.user]}
        del self._sessions[session.id]
        self._sessions[id] = replace(session, id=id, epoch=found.epoch)
        return self._sessions[id]

    async def remove(self, id: str, /) -> Session | None:
        found = self._sessions.get(id)
        if found is not None:
            self._drop(found)
        return found

    async def remove_all(self, user: str, /, *, keep: str | None) -> Sequence[Session]:
        self._epochs[user] = self._epochs.get(user, 0) + 1
        held = [self._sessions[id] for id in self._ids.get(user, ())]
        for each in held:
            if each.id == keep:
                self._sessions[keep] = replace(each, epoch=self._epochs[user])
            else:
                self._drop(each)
        return [each for each in held if each.id != keep]

    async def epoch(self, user: str, /) -> int:
        return self._epochs.get(user, 0)

    async def count(self, *, now: float) -> int:
        return sum(is_active(each, now) for each in self._sessions.values())

    def _drop(self, session: Session) -> None:
        del self._sessions[session.id]
        ids = self._ids[session.user]
        del ids[session.id]
        if not ids:
            del self._ids[session.user]
