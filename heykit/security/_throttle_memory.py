"""Attempts counted in this process's memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from heykit.health import Health
from heykit.security._throttle import Limit, account_name, address_name, counted, is_absurd, too_many, wait


class ThrottleInMemory:
    def __init__(self, account: Limit, address: Limit, max_size: int, now: Callable[[], float]) -> None:
        if not max_size >= 1:
            raise ValueError(f"max_size must be 1 or more, not {max_size!r}")
        self._limits = {"account": account, "address": address}
        self._max_size = max_size
        self._now = now
        self._paid_at: OrderedDict[tuple[str, str], float] = OrderedDict()  # the longest unused first
        self._attempts = 0
        self._throttled = {"account": 0, "address": 0}

    async def attempt(self, account: str, address: str, /) -> None:
        now = self._now()
        names = _names(account, address)
        for name in names:
            limit = self._limits[name[0]]
            paid_at = self._paid_at.get(name, now)
            seconds = wait(paid_at, now, limit)
            if seconds > 0:
                self._throttled[name[0]] += 1
                if is_absurd(paid_at, now, limit):
                    self._paid_at[name] = now + limit.per
                raise too_many(name[0], seconds)
        for name in names:
            self._keep(name, counted(self._paid_at.get(name, now), now, self._limits[name[0]]), now)
        self._attempts += 1

    async def succeeded(self, account: str, address: str, /) -> None:
        for name in _names(account, address):
            if name in self._paid_at:
                self._paid_at[name] -= self._limits[name[0]].each

    async def health(self) -> Health:
        return Health("pass", "security", figures={"names": len(self._paid_at), **self.stats()})

    def stats(self) -> Mapping[str, int]:
        return {"attempts": self._attempts, **{f"throttled_by_{by}": count for by, count in self._throttled.items()}}

    def _keep(self, name: tuple[str, str], paid_at: float, now: float) -> None:
        self._paid_at[name] = paid_at
        self._paid_at.move_to_end(name)
        # Those that hold nothing back any more go first; what lies at the front was used longest ago.
        while self._paid_at:
            first = next(iter(self._paid_at))
            if self._paid_at[first] > now and len(self._paid_at) <= self._max_size:
                return
            del self._paid_at[first]


def _names(account: str, address: str) -> list[tuple[str, str]]:
    of_address = address_name(address)
    names = [("account", account_name(account))]
    return names if of_address is None else [*names, ("address", of_address)]
