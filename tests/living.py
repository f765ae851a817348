"""Applications of a few providers, run on the test's own loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import anyio
from fastapi import FastAPI

from heykit import lifespan, provided
from heykit._instances import instances_in
from heykit.scope import Provider

Obtain: TypeAlias = Callable[[Provider[Any]], Awaitable[object]]


def serving(*providers: Provider[Any]) -> FastAPI:
    """An application with a route a provider: /0, /1, ..."""
    app = FastAPI(lifespan=lifespan)
    for number, provider in enumerate(providers):

        @app.get(f"/{number}")
        async def get(value: object = provided(provider)) -> str:
            return str(value)

    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncGenerator[Obtain]:
    """Inside its lifespan, for a few seconds; gives what obtains a provider's value."""
    with anyio.fail_after(5):
        async with app.router.lifespan_context(app):
            yield instances_in(app).obtain


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that other tasks bring about."""
    with anyio.fail_after(5):
        while not holds():
            await anyio.sleep(0.001)
