"""Settings with lists and tables of sections, and sections within these."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tls:
    cert: str = "c"
    port: int = 0


@dataclass(frozen=True)
class Server:
    host: str = "h"
    tls: Tls | None = None
    need: Tls = Tls()
    tags: list[int] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    servers: list[Server] = field(default_factory=list)
    by_name: dict[str, Server] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)
    one: Server = Server()
    maybe: Server | None = None
    text: str = ""
