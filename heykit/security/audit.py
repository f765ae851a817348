"""Security events as typed values, for a callable that writes them down where you want them.

def audit(event: SecurityEvent) -> None:
    logger.info("%s", as_json(event))

No event holds a token or a password; nor a name that nobody has, for people type passwords into the wrong field.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Literal, TypeAlias

from heykit.security._session import shown_address, shown_agent

__all__ = [
    "AccountLocked",
    "Audit",
    "LoggedIn",
    "LoginFailed",
    "PasswordChanged",
    "RefreshTokenReused",
    "SecurityEvent",
    "SessionEnded",
    "TokenRefreshed",
    "as_json",
    "report",
]

logger = logging.getLogger("heykit.security")


@dataclass(frozen=True, kw_only=True)
class SecurityEvent:
    """Something that happened to somebody's access, at an instant in seconds since the epoch.

    `user` and `session` are ids, `None` where they are not known; `ip` and `user_agent` are what the client's are.
    """

    at: float
    user: str | None = None
    session: str | None = None
    ip: str = ""
    user_agent: str = ""


@dataclass(frozen=True, kw_only=True)
class LoggedIn(SecurityEvent):
    """A session has begun."""


@dataclass(frozen=True, kw_only=True)
class LoginFailed(SecurityEvent):
    """A name and a password were refused. `account` is the name, if anybody has it."""

    account: str | None = None


@dataclass(frozen=True, kw_only=True)
class AccountLocked(SecurityEvent):
    """A login was not even tried, after too many: by this account, or from this address. `retry_after`: seconds."""

    by: Literal["account", "address"]
    retry_after: float


@dataclass(frozen=True, kw_only=True)
class TokenRefreshed(SecurityEvent):
    """A refresh token was changed for the next one."""

    generation: int


@dataclass(frozen=True, kw_only=True)
class RefreshTokenReused(SecurityEvent):
    """A refresh token came again after it was changed: it was stolen, and its session has ended."""

    generation: int


@dataclass(frozen=True, kw_only=True)
class SessionEnded(SecurityEvent):
    """A session has ended before its time: its user logged out or ended it, or all of theirs."""

    reason: Literal["logout", "ended", "all ended", "password changed"]


@dataclass(frozen=True, kw_only=True)
class PasswordChanged(SecurityEvent):
    """A user has another password."""


Audit: TypeAlias = Callable[[SecurityEvent], None]
"""Takes an event and returns at once."""


def as_json(event: SecurityEvent) -> str:
    """Write an event as one line of JSON: its name as `event`, then its fields."""
    return json.dumps({"event": type(event).__name__, **asdict(event)})


def report(audit: Audit | None, event: SecurityEvent) -> None:
    """Hand an event to who wants it; what happened stands, whatever becomes of that."""
    if audit is None:
        return
    shown = replace(event, ip=shown_address(event.ip), user_agent=shown_agent(event.user_agent))
    try:
        audit(shown)
    except Exception:
        logger.exception("the audit of %s failed", type(event).__name__)
