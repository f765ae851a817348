"""How a resource is asked whether it is well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio

from heykit.errors import HeykitError
from heykit.health import Health

TIME_LIMIT: Final = 2.0  # seconds; an answer that takes longer is no answer to who waits for a page


async def resource_health(
    ask: Callable[[], Awaitable[object]], figures: Callable[[], Mapping[str, int | float]]
) -> Health:
    """Pass where a resource answers within `TIME_LIMIT` seconds, and fail with its reason where it does not."""
    reason = f"no answer within {TIME_LIMIT:g} seconds"
    with anyio.move_on_after(TIME_LIMIT):
        try:
            await ask()
        except HeykitError as error:
            reason = str(error)
        else:
            return Health("pass", "resource", figures=figures())
    return Health("fail", "resource", reason, figures())
