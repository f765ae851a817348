"""The end of a session, heard by what was opened for it, in whichever process."""

from __future__ import annotations

from heykit.errors import HeykitError
from heykit.heygen.bell import Bell
from heykit.security.sessions import Session, Sessions

__all__ = ["ring_end", "session_end"]

_LOOK_EVERY = 30.0  # seconds: for those of other processes, where no bell is heard


def ring_end(bell: Bell, session: Session) -> None:
    """Tell everybody that a session has ended."""
    bell.ring(_name(session.id))


async def session_end(bell: Bell, sessions: Sessions, id: str, *, look_every: float = _LOOK_EVERY) -> None:
    """Wait until a session has ended: at once where the bell is heard, else within `look_every` seconds."""
    with bell.listening(_name(id)) as rung:
        while await _goes_on(sessions, id):
            await rung.wait(look_every)


async def _goes_on(sessions: Sessions, id: str) -> bool:
    try:
        return await sessions.by_id(id) is not None
    except HeykitError:
        return True  # nobody can say that it has ended


def _name(id: str) -> str:
    return f"session:{id}"
