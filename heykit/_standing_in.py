"""A plain callable in the place of a provider: it lives as long as what it stands in for."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any, Final, cast

from heykit._needs import PLACE, Dependency, name_of, signature_of
from heykit._provider import Options, Provider, closes, entering
from heykit._seen import seen

_NOTHING_OPENED: Final = AsyncExitStack()  # of a fake with nothing to close


def standing_in(replaced: Provider[object], fake: Dependency) -> Provider[object]:
    """Make a provider of it, with the lifetime of the original: opened once in that time."""
    if isinstance(fake, Provider):
        return fake
    factory = _generating(fake) if closes(fake) else _awaiting(fake)
    cast("Any", factory).__signature__ = signature_of(fake)
    factory.__name__ = name_of(fake)
    del cast("Any", factory).__wrapped__  # its form is ours, whatever the form of the fake
    setattr(factory, PLACE, fake)
    return Provider(factory, replaced.lifetime, Options(keyed=replaced.options.keyed), seen)


def _awaiting(fake: Dependency) -> Dependency:
    enter = entering(fake)

    @functools.wraps(fake, updated=())
    async def awaiting(**arguments: object) -> object:
        return await enter(arguments, _NOTHING_OPENED)

    return awaiting


def _generating(fake: Dependency) -> Dependency:
    enter = entering(fake)

    @functools.wraps(fake, updated=())
    async def generating(**arguments: object) -> AsyncGenerator[object]:
        async with AsyncExitStack() as stack:
            yield await enter(arguments, stack)

    return generating
