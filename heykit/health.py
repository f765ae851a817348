"""What a component says of its health: `pass`, `warn` (it serves, but less well) or `fail`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias, runtime_checkable

import anyio

from heykit.errors import HeykitError

Status: TypeAlias = Literal["pass", "warn", "fail"]
Kind: TypeAlias = Literal["resource", "cache", "service", "config", "security"]


@dataclass(frozen=True)
class Health:
    """One check's outcome. `kind` decides on which health page it shows; `figures` are its numbers."""

    status: Status
    kind: Kind
    reason: str = ""
    figures: Mapping[str, int | float | str] = field(default_factory=dict)


@runtime_checkable
class Checked(Protocol):
    """A value that can be asked for its health. The check bounds its own work and raises nothing it can name."""

    async def health(self) -> Health: ...


TIME_LIMIT: Final = 2.0  # seconds; an answer that takes longer is no answer to who waits for a page


async def of_resource(ask: Callable[[], Awaitable[object]], figures: Callable[[], Mapping[str, int | float]]) -> Health:
    """Pass where a resource answers within `TIME_LIMIT` seconds, and fail with its reason where it does not."""
    reason = f"no answer within {TIME_LIMIT:g} seconds"
    with anyio.move_on_after(TIME_LIMIT):
        try:
            await ask()
        except HeykitError as error:
            reason = str(error)
        else:
            return Health("pass", "resource", figures=figures())
    return Health("fail", "resource", reason, figures())
