"""The files of a directory tree in the order of their names: one directory at a time, opened as `disk` opens them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from heykit.errors import NameRefused
from heykit.resources.disk import ABSENT, described, parent_of
from heykit.resources.names import parts_of
from heykit.resources.protocol import FileInfo


def walked(
    root: Path,
    prefix: str,
    after: str,
    oldest: float,
    *,
    unreadable: Callable[[OSError], None] | None = None,
) -> Generator[FileInfo]:
    """Give the files whose names begin with `prefix`, come after `after` and were not written before `oldest`.

    What is deleted meanwhile may be left out, and what is written meanwhile may be in. A directory that cannot be read
    is told to `unreadable` and left out, or else ends it with its error.
    """
    open_ = [iter(_listed(root, (), unreadable))]
    while open_:
        name, found = next(open_[-1], ("", None))
        if found is None:
            open_.pop()
        elif not name.endswith("/"):
            if found.st_mtime >= oldest and name.startswith(prefix) and _order(name) > _order(after):
                yield described(name.split("/"), found)
        elif _may_lead_to(name, prefix, after):
            open_.append(iter(_listed(root, name.split("/")[:-1], unreadable)))


def _may_lead_to(below: str, prefix: str, after: str) -> bool:
    """Tell whether a name under a directory may begin with `prefix` and come after `after`."""
    if not (below.startswith(prefix) or prefix.startswith(below)):
        return False
    return _order(after) <= _order(below) or after.startswith(below)


def _listed(
    root: Path, parts: Sequence[str], unreadable: Callable[[OSError], None] | None
) -> list[tuple[str, os.stat_result]]:
    """Read one directory, in order: a directory sorts by its name with the slash that all below it begin with."""
    found: list[tuple[str, os.stat_result]] = []
    try:
        with parent_of(root, [*parts, ""]) as folder, os.scandir(folder) as entries:
            for entry in entries:
                found += _described(entry, "/".join([*parts, entry.name]))
    except OSError as error:
        if error.errno not in ABSENT:
            if unreadable is None:
                raise
            unreadable(error)
    return sorted(found, key=lambda pair: _order(pair[0]))


def _described(entry: os.DirEntry[str], name: str) -> list[tuple[str, os.stat_result]]:
    try:
        parts_of(name)
        state = entry.stat(follow_symlinks=False)
    except (NameRefused, FileNotFoundError):  # no name of the store; or gone in this moment
        return []
    if stat.S_ISDIR(state.st_mode):
        return [(name + "/", state)]
    return [(name, state)] if stat.S_ISREG(state.st_mode) else []


def _order(name: str) -> bytes:
    return name.encode(errors="surrogatepass")
