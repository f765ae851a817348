"""Sessions in a database, in SQL that PostgreSQL and SQLite both read."""

# ruff: noqa: S608 - statements are put together of constants; values are arguments

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from heykit.security._session import Session
from heykit.security._sweeping import swept
from heykit.security.protocol import Record, SecurityDatabase, Statements

_SESSIONS: Final = """
CREATE TABLE heykit_sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    seen_at DOUBLE PRECISION NOT NULL,
    ends_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    ip TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    generation BIGINT NOT NULL,
    rotated_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX heykit_sessions_of_user ON heykit_sessions (user_id, created_at, id);
CREATE INDEX heykit_sessions_by_end ON heykit_sessions (ends_at);
-- Users who have none are in epoch 0.
CREATE TABLE heykit_session_epochs (
    user_id TEXT PRIMARY KEY,
    epoch BIGINT NOT NULL
);
"""
MIGRATIONS: Final[Sequence[tuple[str, str]]] = (("heykit: sessions", _SESSIONS),)

_CURRENT: Final = "epoch = COALESCE((SELECT e.epoch FROM heykit_session_epochs e WHERE e.user_id = s.user_id), 0)"
_COLUMNS: Final = "id, user_id, created_at, seen_at, ends_at, expires_at, ip, user_agent, epoch, generation, rotated_at"
# One row a statement, so that it waits for nobody while it holds another; and the end is looked at again when it has
# waited, for the session may have been used meanwhile.
_SWEEP: Final = """
DELETE FROM heykit_sessions WHERE ends_at <= $1
    AND id = (SELECT id FROM heykit_sessions WHERE ends_at <= $1 ORDER BY ends_at LIMIT 1)
"""
_MOST_COUNTED: Final = 10_000


class SessionsInDatabase:
    def __init__(self, database: SecurityDatabase) -> None:
        self._database = database

    async def add(self, session: Session, /, *, limit: int, now: float) -> tuple[Session, Sequence[Session]]:
        async with self._database.transaction() as transaction:
            # Writing the row, though nothing in it changes, lets one login of a user wait for another.
            epoch = await _epoch(transaction, session.user, "heykit_session_epochs.epoch", first=0)
            leaving = await transaction.fetch(
                f"SELECT {_COLUMNS} FROM heykit_sessions s WHERE user_id = $1 AND epoch = $2 AND ends_at > $3"
                " ORDER BY created_at DESC, id DESC LIMIT 1000000 OFFSET $4",
                session.user,
                epoch,
                now,
                limit - 1,
            )
            for each in leaving:
                await transaction.execute("DELETE FROM heykit_sessions WHERE id = $1", each["id"])
            values = (*_values(session)[:8], epoch, session.generation, session.rotated_at)
            await transaction.execute(
                f"INSERT INTO heykit_sessions ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                *values,
            )
        await swept(self._database, _SWEEP, now)
        return _session(dict(zip(_COLUMNS.split(", "), values, strict=True))), [*map(_session, leaving)]

    async def find(self, id: str, /) -> Session | None:
        found = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM heykit_sessions s WHERE id = $1 AND {_CURRENT}",
            id,
        )
        return _session(found[0]) if found else None

    async def of_user(self, user: str, /) -> Sequence[Session]:
        found = await self._database.fetch(
            f"SELECT {_COLUMNS} FROM heykit_sessions s WHERE user_id = $1 AND {_CURRENT} ORDER BY created_at, id",
            user,
        )
        return [*map(_session, found)]

    async def touch(self, session: Session, /, *, now: float) -> None:
        await self._database.execute(
            "UPDATE heykit_sessions SET seen_at = $2, ends_at = $3 WHERE id = $1 AND seen_at < $2",
            session.id,
            session.seen_at,
            session.ends_at,
        )

    async def advance(self, session: Session, /, *, now: float) -> bool:
        changed = await self._database.execute(
            "UPDATE heykit_sessions AS s SET generation = $2, rotated_at = $3, seen_at = $4, ends_at = $5"
            f" WHERE id = $1 AND generation = $6 AND {_CURRENT}",
            session.id,
            session.generation,
            session.rotated_at,
            session.seen_at,
            session.ends_at,
            session.generation - 1,
        )
        return changed == 1

    async def rename(self, session: Session, id: str, /, *, now: float) -> Session | None:
        async with self._database.transaction() as transaction:
            # In line with the user's logins, which may be about to let this very session go.
            await _epoch(transaction, session.user, "heykit_session_epochs.epoch", first=0)
            renamed = await transaction.fetch(
                "UPDATE heykit_sessions AS s SET id = $2, generation = $3, rotated_at = $4, seen_at = $5, ends_at = $6"
                f" WHERE id = $1 AND {_CURRENT} RETURNING {_COLUMNS}",
                session.id,
                id,
                session.generation,
                session.rotated_at,
                session.seen_at,
                session.ends_at,
            )
        return _session(renamed[0]) if renamed else None

    async def remove(self, id: str, /) -> Session | None:
        async with self._database.transaction() as transaction:
            found = await transaction.fetch("SELECT user_id FROM heykit_sessions WHERE id = $1", id)
            if not found:
                return None
            # In line with what ends all others of the user and keeps this one.
            await _epoch(transaction, str(found[0]["user_id"]), "heykit_session_epochs.epoch", first=0)
            removed = await transaction.fetch(
                f"DELETE FROM heykit_sessions AS s WHERE id = $1 AND {_CURRENT} RETURNING {_COLUMNS}", id
            )
        return _session(removed[0]) if removed else None

    async def remove_all(self, user: str, /, *, keep: str | None) -> Sequence[Session]:
        async with self._database.transaction() as transaction:
            epoch = await _epoch(transaction, user, "heykit_session_epochs.epoch + 1", first=1)
            await transaction.execute(
                "UPDATE heykit_sessions SET epoch = $3 WHERE user_id = $1 AND id = $2 AND epoch = $3 - 1",
                user,
                keep or "",
                epoch,
            )
            ended = await transaction.fetch(
                f"DELETE FROM heykit_sessions WHERE user_id = $1 AND epoch < $2 RETURNING {_COLUMNS}",
                user,
                epoch,
            )
        return [*map(_session, ended)]

    async def epoch(self, user: str, /) -> int:
        found = await self._database.fetch("SELECT epoch FROM heykit_session_epochs WHERE user_id = $1", user)
        return _whole(found[0]["epoch"]) if found else 0

    async def count(self, *, now: float) -> int:
        found = await self._database.fetch(
            "SELECT count(*) AS sessions FROM (SELECT 1 FROM heykit_sessions WHERE ends_at > $1 LIMIT $2) AS counted",
            now,
            _MOST_COUNTED,
        )
        return _whole(found[0]["sessions"])


async def _epoch(transaction: Statements, user: str, changed: str, *, first: int) -> int:
    found = await transaction.fetch(
        "INSERT INTO heykit_session_epochs (user_id, epoch) VALUES ($1, $2)"
        f" ON CONFLICT (user_id) DO UPDATE SET epoch = {changed} RETURNING epoch",
        user,
        first,
    )
    return _whole(found[0]["epoch"])


def _values(session: Session) -> tuple[object, ...]:
    return (
        session.id,
        session.user,
        session.created_at,
        session.seen_at,
        session.ends_at,
        session.expires_at,
        session.ip,
        session.user_agent,
    )


def _session(row: Record | dict[str, object]) -> Session:
    return Session(
        id=str(row["id"]),
        user=str(row["user_id"]),
        created_at=_number(row["created_at"]),
        seen_at=_number(row["seen_at"]),
        ends_at=_number(row["ends_at"]),
        expires_at=_number(row["expires_at"]),
        ip=str(row["ip"]),
        user_agent=str(row["user_agent"]),
        epoch=_whole(row["epoch"]),
        generation=_whole(row["generation"]),
        rotated_at=_number(row["rotated_at"]),
    )


def _number(value: object) -> float:
    assert isinstance(value, float | int)
    return float(value)


def _whole(value: object) -> int:
    assert isinstance(value, int)
    return value
