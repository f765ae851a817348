"""Asking what is open for its health: side by side, each within a time limit, once for all who ask at a time."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import anyio
from anyio.abc import TaskGroup

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


class _Asked:
    """A check under way."""

    def __init__(self) -> None:
        self.answered = anyio.Event()
        self.health: Health | None = None


class Checks:
    """The outcomes of the last round, kept for a moment so that a crowd of probes costs one round.

    Checks run in `tasks`. `limit`: seconds one check may take; `keep`: seconds a round is served again.
    """

    def __init__(
        self, tasks: TaskGroup, *, limit: float = 2.0, keep: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tasks = tasks
        self._limit = limit
        self._keep = keep
        self._clock = clock
        self._round = anyio.Lock()
        self._stale_at = 0.0
        self._last: dict[str, Check] = {}
        self._asked: dict[str, _Asked] = {}  # and not answered yet

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
        if opened.state == "lazy":
            health = Health("pass", self._kind_of(name), "nobody has needed it yet")
        elif opened.state in {"open", "fallback"}:
            health = await self._health_of(name, opened.value)
        else:
            failure = (opened.error or opened.state).partition(":")[0]
            health = Health("fail", self._kind_of(name), f"{failure}: the log has the whole of it")
        if opened.state == "fallback" and health.status == "pass":
            health = Health("warn", health.kind, "its fallback serves, and it is tried again", health.figures)
        return Check(health.status, health.kind, opened.scope, opened.state, health.reason, health.figures)

    async def _health_of(self, name: str, value: object) -> Health:
        if isinstance(value, type) or not callable(getattr(value, "health", None)):
            return _health_by_type(value)
        asked = self._asked.get(name)
        if asked is None:
            # In a task of ours: a check that no cancellation reaches must not hold up who asked for it.
            asked = self._asked[name] = _Asked()
            self._tasks.start_soon(self._ask_one, name, value, asked)
        with anyio.move_on_after(self._limit):
            await asked.answered.wait()
        if asked.health is not None:
            return asked.health
        return Health("fail", self._kind_of(name), f"no answer within {self._limit:g} s")

    async def _ask_one(self, name: str, value: object, asked: _Asked) -> None:
        try:
            asked.health = await self._answer(value)
        except Exception as error:  # noqa: BLE001 - a check that breaks is a finding, not an end
            asked.health = Health("fail", self._kind_of(name), f"its check raised {type(error).__name__}")
        except anyio.get_cancelled_exc_class():
            if self._tasks.cancel_scope.cancel_called:
                raise
            asked.health = Health("fail", self._kind_of(name), "something its check awaited was cancelled")
        finally:
            self._asked.pop(name, None)
            asked.answered.set()

    async def _answer(self, value: object) -> Health:
        answer: object = cast("Checked", value).health()
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Health):
            return answer
        return Health("warn", "service", f"its health() gives {type(answer).__name__}, not a Health")

    def _kind_of(self, name: str) -> Kind:
        """Remember on which page it stood before it failed."""
        return self._last[name].kind if name in self._last else "service"


def _health_by_type(value: object) -> Health:
    if isinstance(value, Loaded):
        return Health("pass", "config", figures={"settings": len(value.entries)})
    if isinstance(value, Key | KeySet):
        return Health("pass", "security", figures=_keys([value] if isinstance(value, Key) else list(value)))
    return Health("pass", "service")


def _keys(keys: Sequence[Key]) -> Mapping[str, int | str]:
    """Tell of keys their ids and how old they are."""
    now = time.time()
    ages = {
        f"key {'without id' if key.id is None else key.id}": f"{key.algorithm}, "
        + ("of unknown age" if key.created_at is None else f"{max(0.0, now - key.created_at) / 86_400:.1f} days old")
        for key in keys
    }
    return {"keys": len(keys), **ages}
