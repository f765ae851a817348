"""Sessions over any store: the rules, what is told of those that end, and what is counted."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, TypeAlias

import anyio

from heykit._finish import finish
from heykit.errors import Unavailable
from heykit.health import Health
from heykit.security._session import (
    Outcome,
    Rules,
    Session,
    Started,
    checked_user,
    id_of,
    is_active,
    is_id,
    is_stale,
    judged,
    new_secret,
    secret_octets,
    started,
    touched,
)
from heykit.security._session_store import SessionStore

_TELLING: Final = 5.0  # seconds for all that end at once: whoever ended them waits

OnRevoked: TypeAlias = Callable[[Session], Awaitable[object]]

logger = logging.getLogger("heykit.security")


@dataclass
class _Counts:
    started: int = 0
    ended: int = 0
    over_limit: int = 0
    rotated: int = 0
    repeated: int = 0
    reused: int = 0


class SessionsOf:
    def __init__(
        self,
        store: SessionStore,
        rules: Rules,
        on_revoked: OnRevoked | None,
        now: Callable[[], float],
        entropy: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._rules = rules
        self._on_revoked = on_revoked
        self._now = now
        self._entropy = entropy
        self._counts = _Counts()

    async def start(self, user: str, /, *, ip: str = "", user_agent: str = "") -> Started:
        checked_user(user)
        now = self._now()
        secret, id = self._new()
        session = started(id, user, now, self._rules, ip=ip, user_agent=user_agent)
        kept: list[Session] = []
        try:
            await finish(self._add(session, now, kept))
        except BaseException:
            for orphan in kept:  # nobody has its secret
                await finish(self._end(orphan.id))
            raise
        return Started(secret, kept[0])

    async def _add(self, session: Session, now: float, kept: list[Session]) -> None:
        added, leaving = await self._store.add(session, limit=self._rules.per_user, now=now)
        kept.append(added)
        self._counts.started += 1
        self._counts.over_limit += len(leaving)
        await self._tell(leaving)

    async def get(self, secret: str, /) -> Session | None:
        id = id_of(secret)
        return None if id is None else await self.by_id(id)

    async def by_id(self, id: str, /) -> Session | None:
        if not is_id(id):
            return None
        found = await self._store.find(id)
        return found if found is not None and is_active(found, self._now()) else None

    async def touch(self, secret: str, /) -> Session | None:
        found = await self.get(secret)
        now = self._now()
        if found is None or not is_stale(found, now, self._rules):
            return found
        seen = touched(found, now, self._rules)
        await self._store.touch(seen, now=now)
        return seen

    async def renew(self, secret: str, /) -> Started | None:
        found = await self.get(secret)
        return None if found is None else await finish(self._renew(found))

    async def _renew(self, found: Session) -> Started | None:
        now = self._now()
        secret, id = self._new()
        seen = replace(touched(found, now, self._rules), generation=0, rotated_at=now)
        renamed = await self._store.rename(seen, id, now=now)
        if renamed is None:
            return None
        await self._tell([found])
        return Started(secret, renamed)

    async def advance(self, id: str, generation: int, /, *, grace: float) -> tuple[Outcome, Session | None]:
        while True:
            found = await self.by_id(id)
            if found is None:
                return "unknown", None
            now = self._now()
            match judged(found, generation, now, grace):
                case "rotated":
                    following = replace(touched(found, now, self._rules), generation=generation + 1, rotated_at=now)
                    if not await self._store.advance(following, now=now):
                        continue  # somebody was faster: judged once more, by what they have left
                    self._counts.rotated += 1
                    return "rotated", following
                case "repeated":
                    self._counts.repeated += 1
                    return "repeated", found
                case "reused":
                    self._counts.reused += 1
                    await self.end(found.id)
                    return "reused", found
                case "unknown":
                    return "unknown", None

    async def of_user(self, user: str, /) -> Sequence[Session]:
        now = self._now()
        return [session for session in await self._store.of_user(checked_user(user)) if is_active(session, now)]

    async def end(self, id: str, /, *, user: str | None = None) -> bool:
        found = await self.by_id(id)
        if found is None or user not in {None, found.user}:
            return False
        return await finish(self._end(id))

    async def _end(self, id: str) -> bool:
        ended = await self._store.remove(id)
        if ended is None:
            return False
        self._counts.ended += 1
        await self._tell([ended])
        return True

    async def end_all(self, user: str, /, *, keep: str | None = None) -> int:
        return await finish(self._end_all(checked_user(user), keep))

    async def _end_all(self, user: str, keep: str | None) -> int:
        removed = await self._store.remove_all(user, keep=keep)
        now = self._now()
        ended = [session for session in removed if is_active(session, now)]
        self._counts.ended += len(ended)
        await self._tell(ended)
        return len(ended)

    async def epoch(self, user: str, /) -> int:
        return await self._store.epoch(checked_user(user))

    async def health(self) -> Health:
        try:
            active = await self._store.count(now=self._now())
        except Unavailable:
            return Health("warn", "security", "their store is away: nobody logs in until it is back", self.stats())
        return Health("pass", "security", figures={"active": active, **self.stats()})

    def stats(self) -> Mapping[str, int]:
        return asdict(self._counts)

    async def _tell(self, ended: Iterable[Session]) -> None:
        """Say what has ended; that stands, whatever comes of the saying."""
        if self._on_revoked is None:
            return
        with anyio.move_on_after(_TELLING) as limit:
            for session in ended:
                try:
                    await self._on_revoked(session)
                except Exception:
                    logger.exception("on_revoked failed for a session that has ended")
        if limit.cancelled_caught:
            logger.error("on_revoked took longer than %s seconds, and was given up", _TELLING)

    def _new(self) -> tuple[str, str]:
        secret = new_secret(self._entropy(secret_octets()))
        id = id_of(secret)
        assert id is not None
        return secret, id
