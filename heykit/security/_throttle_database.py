"""Attempts counted in a database, in SQL that PostgreSQL and SQLite both read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from heykit.errors import Throttled
from heykit.health import Health
from heykit.security._sweeping import swept
from heykit.security._throttle import ROUNDING, Limit, account_name, address_name, too_many, wait
from heykit.security.protocol import SecurityDatabase, Statements

_TABLE: Final = """
CREATE TABLE heykit_throttle (
    name TEXT PRIMARY KEY,
    paid_at DOUBLE PRECISION NOT NULL
);
CREATE INDEX heykit_throttle_by_end ON heykit_throttle (paid_at);
"""
MIGRATIONS: Final[Sequence[tuple[str, str]]] = (("heykit: throttle", _TABLE),)

# $2: now, $3: the seconds of the limit, $4: those of one attempt, $5: what rounding may have added
# The arithmetic is that of `_throttle`; it gives no row where the attempt is one too many.
_ATTEMPT: Final = """
INSERT INTO heykit_throttle AS t (name, paid_at)
    VALUES ($1, CAST($2 AS DOUBLE PRECISION) + CAST($4 AS DOUBLE PRECISION))
ON CONFLICT (name) DO UPDATE SET paid_at = $4 + CASE WHEN t.paid_at > $2 THEN t.paid_at ELSE $2 END
    WHERE t.paid_at <= $2 + $3 - $4 + $5
RETURNING paid_at
"""
_NO_LATER: Final = "UPDATE heykit_throttle SET paid_at = $2 WHERE name = $1 AND paid_at > $3"
# One row a statement: it waits for nobody while it holds another. What it has waited for is looked at once more.
_SWEEP: Final = """
DELETE FROM heykit_throttle WHERE paid_at <= $1
    AND name = (SELECT name FROM heykit_throttle WHERE paid_at <= $1 ORDER BY paid_at LIMIT 1)
"""


class ThrottleInDatabase:
    def __init__(self, database: SecurityDatabase, account: Limit, address: Limit, now: Callable[[], float]) -> None:
        self._database = database
        self._limits = {"account": account, "address": address}
        self._now = now
        self._attempts = 0
        self._throttled = {"account": 0, "address": 0}

    async def attempt(self, account: str, address: str, /) -> None:
        now = self._now()
        names = _names(account, address)
        try:
            # Accounts before addresses, always: so no two wait for each other.
            async with self._database.transaction() as transaction:
                for by, name in names.items():
                    await self._count(transaction, by, name, now)
        except Throttled as locked:
            self._throttled[locked.by] += 1
            per = self._limits[locked.by].per
            await self._database.execute(_NO_LATER, names[locked.by], now + per, now + 2 * per)  # as `is_absurd`
            raise
        self._attempts += 1
        await swept(self._database, _SWEEP, now)

    async def succeeded(self, account: str, address: str, /) -> None:
        for by, name in _names(account, address).items():
            await self._database.execute(
                "UPDATE heykit_throttle SET paid_at = paid_at - $2 WHERE name = $1", name, self._limits[by].each
            )

    async def health(self) -> Health:
        return Health("pass", "security", figures=self.stats())

    def stats(self) -> Mapping[str, int]:
        return {"attempts": self._attempts, **{f"throttled_by_{by}": count for by, count in self._throttled.items()}}

    async def _count(self, transaction: Statements, by: str, name: str, now: float) -> None:
        limit = self._limits[by]
        if await transaction.fetch(_ATTEMPT, name, now, limit.per, limit.each, ROUNDING):
            return
        found = await transaction.fetch("SELECT paid_at FROM heykit_throttle WHERE name = $1", name)
        paid_at = found[0]["paid_at"] if found else now
        assert isinstance(paid_at, float | int)
        raise too_many(by, max(ROUNDING, wait(float(paid_at), now, limit)))


def _names(account: str, address: str) -> dict[str, str]:
    """Give the names of rows, that of an account first."""
    of_address = address_name(address)
    names = {"account": f"account:{account_name(account)}"}
    return names if of_address is None else {**names, "address": f"address:{of_address}"}
