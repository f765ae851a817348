"""A signing key that is made on the first start and kept in a file."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from anyio import to_thread

from heykit.errors import KeyRefused
from heykit.security.keys import Key, key_from_secret

__all__ = ["key_from_file"]

logger = logging.getLogger("heykit.security")

_SECRET_BYTES = 32  # RFC 7518, section 3.2: a key of the hash's size or larger.


async def key_from_file(path: Path, *, entropy: Callable[[int], bytes] = os.urandom) -> Key:
    """Read an HS256 key from a file, which is made with mode 0600 where there is none, and warn that it was.

    Of several processes that start at once one makes it, and all read the same.

    :raises KeyRefused: others than its owner may read the file, or what it holds is no key
    :raises OSError: it can be neither read nor made
    """
    return await to_thread.run_sync(_read_or_make, path, entropy)


def _read_or_make(path: Path, entropy: Callable[[int], bytes]) -> Key:
    if not os.path.lexists(path):
        _make(path, entropy)
    found = path.lstat()
    mode = found.st_mode
    if not stat.S_ISREG(mode):
        raise KeyRefused(f"{path} is no plain file: delete it to have a signing key made there")
    if stat.S_IMODE(mode) & 0o077:
        raise KeyRefused(f"others may read the signing key {path}: chmod 600 it, or delete it to have a new one made")
    try:
        return key_from_secret(bytes.fromhex(path.read_text("ascii")), created_at=found.st_mtime)
    except (ValueError, KeyRefused):
        raise KeyRefused(f"{path} holds no signing key: delete it to have a new one made") from None


def _make(path: Path, entropy: Callable[[int], bytes]) -> None:
    """Write it whole under another name first: whoever sees the file sees all of it."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # with mode 0600
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(entropy(_SECRET_BYTES).hex())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # fails where another process was first
    except FileExistsError:
        return
    finally:
        Path(draft).unlink()
    logger.warning("made a signing key in %s: set one of your own in production", path)
