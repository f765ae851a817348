"""A directory for what a service keeps."""

from __future__ import annotations

from pathlib import Path

from anyio import to_thread

from heykit.errors import Unavailable


async def made_directory(path: Path) -> Path:
    """Make a directory that its owner alone may enter, and those above it, where there is none.

    Raises Unavailable where something stands in its way.
    """
    try:
        await to_thread.run_sync(lambda: path.mkdir(mode=0o700, parents=True, exist_ok=True))
    except OSError as error:
        raise Unavailable(f"the directory {path} cannot be made ({error.strerror}): choose another") from error
    return path
