"""Settings that are read again when what they come from changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import TypeVar

from heykit.config.loading import load
from heykit.config.plan import plan
from heykit.config.protocol import Source
from heykit.errors import ConfigError

S = TypeVar("S")


async def watch(
    settings: type[S],
    sources: Sequence[Source],
    *,
    interval: float = 1.0,
    report: Callable[[ConfigError], None] | None = None,
) -> AsyncGenerator[S]:
    """Give the settings, and again whenever a source has others, valid as a whole.

    The sources are read every `interval` seconds, in a thread, and what two looks agree on counts, since a file may be
    half written at one. What is wrong is handed to `report` once (by default to the logger `heykit.config`); the
    settings before stay. Raises `ConfigError` where they are wrong from the start, and ValueError for an interval that
    is not above 0.
    """
    from anyio import sleep, to_thread

    if not interval > 0:
        raise ValueError(f"interval must be more than 0 seconds, not {interval!r}")
    plan(settings)  # here, where the names of the caller's own classes are known
    current = await to_thread.run_sync(load, settings, sources)
    yield current
    seen: object = current
    told = ""
    while True:
        await sleep(interval)
        try:
            found: object = await to_thread.run_sync(load, settings, sources)
        except ConfigError as error:
            if str(error) == seen != told:
                (report or _log)(error)
                told = str(error)
            seen = str(error)
            continue
        # As with what is wrong: a file that is being written may be whole, and half of what it will be.
        if isinstance(found, settings) and _is_same(found, seen) and not _is_same(found, current):
            current = found
            yield current
        if not isinstance(seen, str) or _is_same(found, current):
            told = ""
        seen = found


def _is_same(left: object, right: object) -> bool:
    """Compare settings field by field; a number that is none is the same as another such."""
    if type(left) is not type(right):
        return False
    if is_dataclass(left) and not isinstance(left, type):
        return all(_is_same(getattr(left, each.name), getattr(right, each.name)) for each in fields(left))
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_is_same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_is_same(left[key], right[key]) for key in left)
    return left == right or (left != left and right != right)  # noqa: PLR0124 - that is how a NaN is known


def _log(error: ConfigError) -> None:
    import logging

    logging.getLogger("heykit.config").error("the settings have changed and are not used: %s", error)
