"""Asking what is open for its health: side by side, each within a time limit, once for all who ask at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio

from heykit.config import Loaded
from heykit.health import Checked, Health, Kind, Status
from heykit.lifetime import Opened
from heykit.security.keys import Key, KeySet


@dataclass(frozen=True)
class Check:
    """What one provider's value says of itself."""

    status: Status
    kind: Kind
    scope: str
    state: str
    reason: str = ""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)


class Checks:
    """The outcomes of the last round, kept for a moment so that a crowd of probes costs one round.

    `limit`: seconds one check may take; `keep`: seconds a round is served again.
    """

    def __init__(self, *, limit: float = 2.0, keep: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._keep = keep
        self._clock = clock
        self._round = anyio.Lock()
        self._stale_at = 0.0
        self._last: dict[str, Check] = {}

    async def run(self, held: Mapping[str, Opened]) -> Mapping[str, Check]:
        # Who is cancelled while asking lets the lock go, and the next asks.
        async with self._round:
            if self._clock() >= self._stale_at or self._last.keys() != held.keys():
                self._last = await self._ask(held)
                self._stale_at = self._clock() + self._keep
            return self._last

    async def _ask(self, held: Mapping[str, Opened]) -> dict[str, Check]:
        found: dict[str, Check] = {}

        async def ask(name: str, opened: Opened) -> None:
            found[name] = await self._check(name, opened)

        async with anyio.create_task_group() as asking:
            for name, opened in held.items():
                asking.start_soon(ask, name, opened)
        return {name: found[name] for name in held}

    async def _check(self, name: str, opened: Opened) -> Check:
        if opened.state in {"open", "fallback"}:
            health = await self._health_of(name, opened.value)
        else:
            failure = (opened.error or opened.state).partition(":")[0]
            health = Health("fail", self._kind_of(name), f"{failure}: the log has the whole of it")
        if opened.state == "fallback" and health.status == "pass":
            health = Health("warn", health.kind, "its fallback serves: it could not be opened itself", health.figures)
        return Check(health.status, health.kind, opened.scope, opened.state, health.reason, health.figures)

    async def _health_of(self, name: str, value: object) -> Health:
        if not isinstance(value, Checked):
            return _health_by_type(value)
        with anyio.move_on_after(self._limit):
            try:
                return await value.health()
            except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not an end
                return Health("fail", self._kind_of(name), f"its check raised {type(error).__name__}")
        return Health("fail", self._kind_of(name), f"no answer within {self._limit:g} s")

    def _kind_of(self, name: str) -> Kind:
        """Remember on which page it stood before it failed."""
        return self._last[name].kind if name in self._last else "service"


def _health_by_type(value: object) -> Health:
    if isinstance(value, Loaded):
        return Health("pass", "config", figures={"settings": len(value.entries)})
    if isinstance(value, Key | KeySet):
        return Health("pass", "security")
    return Health("pass", "service")
