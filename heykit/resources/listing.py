"""The files of a directory tree in the order of their names: one directory at a time, opened as `disk` opens them."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Sequence
from pathlib import Path

from heykit.errors import NameRefused
from heykit.resources.disk import ABSENT, described, parent_of
from heykit.resources.names import parts_of
from heykit.resources.protocol import FileInfo


def walked(root: Path, prefix: str, after: str, oldest: float) -> Generator[FileInfo]:
    """Give the files whose names begin with `prefix`, come after `after` and were not written before `oldest`.

    What is deleted meanwhile may be left out, and what is written meanwhile may be in.
    """
    for name, found in _walked(root, (), prefix, after):
        if found.st_mtime >= oldest and name.startswith(prefix) and _order(name) > _order(after):
            yield described(name.split("/"), found)


def _walked(root: Path, above: Sequence[str], prefix: str, after: str) -> Generator[tuple[str, os.stat_result]]:
    for part, found in _listed(root, above):
        name = "/".join([*above, part.removesuffix("/")])
        if not part.endswith("/"):
            yield name, found
            continue
        below = name + "/"
        # Nothing below begins with the prefix; or all below comes before `after`.
        if not (below.startswith(prefix) or prefix.startswith(below)):
            continue
        if _order(after) > _order(below) and not after.startswith(below):
            continue
        yield from _walked(root, [*above, part.removesuffix("/")], prefix, after)


def _listed(root: Path, parts: Sequence[str]) -> list[tuple[str, os.stat_result]]:
    """Read one directory, in order: a directory sorts by its name with the slash that all below it begin with."""
    found: list[tuple[str, os.stat_result]] = []
    try:
        with parent_of(root, [*parts, ""]) as folder, os.scandir(folder) as entries:
            for entry in entries:
                if _is_name(entry.name):
                    state = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(state.st_mode):
                        found.append((entry.name + "/", state))
                    elif stat.S_ISREG(state.st_mode):
                        found.append((entry.name, state))
    except OSError as error:
        if error.errno not in ABSENT:
            raise
    return sorted(found, key=lambda pair: _order(pair[0]))


def _is_name(part: str) -> bool:
    try:
        parts_of(part)
    except NameRefused:
        return False
    return True


def _order(name: str) -> bytes:
    return name.encode(errors="surrogatepass")
