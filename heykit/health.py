"""What a component says of its health: `pass`, `warn` (it serves, but less well) or `fail`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, runtime_checkable

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
