"""What can be set, with its defaults: everything runs embedded until something is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from heykit.config import Between, MinLength, Secret

__all__ = ["Settings"]


@dataclass(frozen=True)
class AppSettings:
    debug: bool = False
    data: Path = Path("heygen-data")
    trusted_proxies: str = ""  # addresses, separated by commas


@dataclass(frozen=True)
class DatabaseSettings:
    url: str | None = None  # by default SQLite, in the data directory
    max_connections: Annotated[int, Between(1, 1000)] = 10


@dataclass(frozen=True)
class RedisSettings:
    url: str | None = None


@dataclass(frozen=True)
class SecuritySettings:
    secret_key: Annotated[Secret[str], MinLength(32)] | None = None  # by default made, in the data directory
    access_token_expire_minutes: Annotated[int, Between(1, 24 * 60)] = 30


@dataclass(frozen=True)
class VideoSettings:
    api_key: Secret[str] | None = None
    at_once: Annotated[int, Between(1, 100)] = 2
    seconds_per_caption: Annotated[float, Between(0, 60)] = 0.1


@dataclass(frozen=True)
class Settings:
    app: AppSettings = field(default_factory=AppSettings)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    security: SecuritySettings = field(default_factory=SecuritySettings)
    video: VideoSettings = field(default_factory=VideoSettings)
