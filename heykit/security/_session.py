"""What a session is, and the rules about it: pure functions over frozen values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Literal, TypeAlias

from heykit.security import _base64url

_SECRET_BYTES = 16  # OWASP Session Management Cheat Sheet: at least 64 bits of entropy; these are 128
_LONGEST_ADDRESS, _LONGEST_AGENT = 64, 256  # characters
_LONGEST_USER = 255  # characters
SECRET_LENGTH = 22  # characters
_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Session:
    """One login: that of a browser by cookie, or of a client by the family of its refresh tokens.

    `id` may be shown, and opens nothing: it is the SHA-256 of the secret, in hexadecimal. Instants are in seconds since
    the epoch: `ends_at` is when it ends if nobody uses it any more, and `expires_at` when it ends in any case.
    `generation` counts its refresh tokens, the latest of which was given at `rotated_at`; `epoch` is that of its user.
    """

    id: str
    user: str
    created_at: float
    seen_at: float
    ends_at: float
    expires_at: float
    ip: str = ""
    user_agent: str = ""
    epoch: int = 0
    generation: int = 0
    rotated_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Started:
    """A session and the secret that opens it, which is stored nowhere and shown to its user alone."""

    secret: str = field(repr=False)
    session: Session


@dataclass(frozen=True, slots=True)
class Rules:
    """How long sessions last, in seconds, and how many one user may have."""

    idle: float
    absolute: float
    per_user: int
    touch_every: float

    def __post_init__(self) -> None:
        for name, seconds in (("idle", self.idle), ("absolute", self.absolute)):
            if not (seconds > 0 and math.isfinite(seconds)):
                raise ValueError(f"{name} must be a finite number of seconds above 0, not {seconds!r}")
        if not self.per_user >= 1:
            raise ValueError(f"per_user must be 1 or more, not {self.per_user!r}: else nobody could log in")
        if not 0 <= self.touch_every < self.idle:
            raise ValueError(f"touch_every must be 0 or more and less than idle, not {self.touch_every!r}")


Outcome: TypeAlias = Literal["rotated", "repeated", "reused", "unknown"]


def new_secret(octets: bytes) -> str:
    """Write the secret of a session; there are 16 bytes of it."""
    return _base64url.encode(octets).decode("ascii")


def secret_octets() -> int:
    return _SECRET_BYTES


def id_of(secret: object) -> str | None:
    """Give the id of the session that a secret opens; `None` for what is no secret of a session.

    Whoever reads the store, or its copy, learns ids, and from them no secret.
    """
    if not isinstance(secret, str) or len(secret) != SECRET_LENGTH or not secret.isascii():
        return None
    try:
        # One session has one spelling.
        _base64url.decode(secret.encode("ascii"))
    except ValueError:
        return None
    return sha256(secret.encode("ascii")).hexdigest()


def is_id(text: object) -> bool:
    """True if a text could be the id of a session: no store is asked for any other."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def checked_user(user: str) -> str:
    """Give back the id of a user; one that not every store could keep is a ValueError."""
    if not 1 <= len(user) <= _LONGEST_USER or not _is_plain(user):
        raise ValueError(f"a session is that of a user: give their id, 1 to {_LONGEST_USER} characters of Unicode text")
    return user


def started(id: str, user: str, now: float, rules: Rules, *, ip: str, user_agent: str) -> Session:
    """Make the session of a login that happens now."""
    expires = now + rules.absolute
    return Session(
        id,
        user,
        created_at=now,
        seen_at=now,
        ends_at=min(now + rules.idle, expires),
        expires_at=expires,
        ip=shown_address(ip),
        user_agent=shown_agent(user_agent),
    )


def is_active(session: Session, now: float) -> bool:
    """True if the session has not ended by itself."""
    return now < session.ends_at


def is_stale(session: Session, now: float, rules: Rules) -> bool:
    """True if it is time to write down again that the session is used."""
    return now - session.seen_at >= rules.touch_every


def touched(session: Session, now: float, rules: Rules) -> Session:
    """Give the session as it is when it is used now."""
    return replace(session, seen_at=now, ends_at=min(now + rules.idle, session.expires_at))


def judged(session: Session, generation: int, now: float, grace: float) -> Outcome:
    """Say what a refresh token of a session is: the latest, or the one before it within the grace, or an older one.

    RFC 9700 §4.14.2: a refresh token that was rotated away and comes again was stolen, or its thief was faster. Two
    tabs that refresh at once are no theft, nor is a client that never got the answer: hence the grace (seconds).
    """
    if generation == session.generation:
        return "rotated"
    # The clocks of two processes differ, and one may be set back: by less than the grace, or it is none.
    if generation == session.generation - 1 and abs(now - session.rotated_at) <= grace:
        return "repeated"
    return "reused" if generation < session.generation else "unknown"


def shown_address(ip: str) -> str:
    """Keep of an address what can be stored and shown."""
    return _shown(ip, _LONGEST_ADDRESS)


def shown_agent(user_agent: str) -> str:
    """Keep of what a client calls itself what can be stored and shown."""
    return _shown(user_agent, _LONGEST_AGENT)


def _is_plain(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(text: str, longest: int) -> str:
    """Keep of what a client says of itself what can be stored and shown."""
    return "".join(character for character in text[: 4 * longest] if character.isprintable())[:longest]
