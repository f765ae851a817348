"""Settings that are read again when what they come from changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeVar

from heykit.config.loading import load
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

    The sources are read every `interval` seconds, in a thread. What is wrong is handed to `report` once (by default to
    the logger `heykit.config`) when two looks agree on it, since a file may be half written at one; the settings before
    stay. Raises `ConfigError` where they are wrong from the start, and ValueError for an interval that is not above 0.
    """
    from anyio import sleep, to_thread

    if not interval > 0:
        raise ValueError(f"interval must be more than 0 seconds, not {interval!r}")
    current = await to_thread.run_sync(load, settings, sources)
    yield current
    seen = told = ""
    while True:
        await sleep(interval)
        try:
            found = await to_thread.run_sync(load, settings, sources)
        except ConfigError as error:
            if str(error) == seen != told:
                (report or _log)(error)
                told = seen
            seen = str(error)
            continue
        seen = told = ""
        if found != current:
            current = found
            yield current


def _log(error: ConfigError) -> None:
    import logging

    logging.getLogger("heykit.config").error("the settings have changed and are not used: %s", error)
