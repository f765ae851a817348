"""Something worse instead of nothing."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import ParamSpec, TypeVar

from heykit.errors import HeykitError
from heykit.resilience._names import name_of

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("heykit.resilience")


def with_fallback(
    call: Callable[P, Awaitable[T]], fallback: Callable[P, Awaitable[T]], *, on: tuple[type[Exception], ...]
) -> Callable[P, Coroutine[object, object, T]]:
    """Join two async functions: where the first fails with an error of `on`, the second is called the same way.

    The error of the first is the context of what the second raises. That the second answers is logged when that begins
    and when it is over.
    """
    away = False

    @functools.wraps(call)
    async def either(*args: P.args, **kwargs: P.kwargs) -> T:
        nonlocal away
        try:
            value = await call(*args, **kwargs)
        except on as error:
            if not away:
                away = True
                said = f"{type(error).__name__}: {error}" if isinstance(error, HeykitError) else type(error).__name__
                logger.warning("%s fails (%s); %s answers instead", name_of(call), said, name_of(fallback))
            return await fallback(*args, **kwargs)
        if away:
            away = False
            logger.info("%s answers again", name_of(call))
        return value

    return either
