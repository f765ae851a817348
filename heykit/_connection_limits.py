"""The settings of a pool, refused where they make no sense."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The pool's settings; times in seconds. `held` is how long a connection may be kept before that is reported."""

    max_connections: int
    connection_timeout: float
    retry_attempts: int
    health_check_interval: float
    min_connections: int = 0
    lifetime: float = math.inf
    held: float = math.inf

    def __post_init__(self) -> None:
        if self.max_connections < 1 or not self.connection_timeout > 0 or self.retry_attempts < 0:
            raise ValueError(
                "max_connections must be at least 1, connection_timeout above 0, retry_attempts not below 0"
            )
        if not 0 <= self.min_connections <= self.max_connections:
            raise ValueError("min_connections must be from 0 to max_connections")
        if not (self.health_check_interval >= 0 and self.lifetime > 0 and self.held > 0):
            raise ValueError("health_check_interval must not be below 0, and a lifetime and a limit of holding above 0")
