"""Each lifetime by name: how it opens, is shared, closes, fails, and behaves when all come at once."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from fastapi.requests import HTTPConnection

from heykit import lifespan, provided, request_scope, scope
from heykit.errors import NoKey, StartupError, Unavailable
from heykit.scope import Provider

Declare = Callable[[Callable[..., Any]], Provider[Any]]

LONG = ("singleton", "application")
KEPT = ("keyed", "session")
SHORT = ("request", "function")


@scope.request
async def who(connection: HTTPConnection) -> str | None:
    return connection.headers.get("who")


DECLARED: dict[str, Declare] = {
    "singleton": scope.singleton,
    "application": scope.application,
    "keyed": scope.keyed(by=who, idle=60),
    "session": scope.session(by=who, idle=60),
    "request": scope.request,
    "function": scope.function,
}


class World:
    """A provider of one lifetime whose instances are numbered, and what happened to them."""

    def __init__(self, lifetime: str) -> None:
        self.log: list[str] = []
        self.error: Exception | None = None
        numbers = itertools.count(1)

        async def thing() -> AsyncGenerator[int]:
            number = next(numbers)
            await anyio.lowlevel.checkpoint()
            if self.error is not None:
                raise self.error
            self.log.append(f"open {number}")
            yield number
            await anyio.lowlevel.checkpoint()
            self.log.append(f"close {number}")

        self.provider = DECLARED[lifetime](thing)

    def application(self) -> FastAPI:
        app = FastAPI(lifespan=lifespan)

        @app.get("/")
        async def get(value: int = provided(self.provider)) -> None: ...

        return app

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[FastAPI]:
        app = self.application()
        async with app.router.lifespan_context(app):
            yield app

    @asynccontextmanager
    async def asked(self, app: FastAPI, name: str | None = "ada") -> AsyncGenerator[int]:
        """The value within one request, whose sender gives a name."""
        headers = [] if name is None else [(b"who", name.encode())]
        connection = HTTPConnection({"type": "http", "headers": headers, "app": app, "state": {}, "path": "/"})
        async with request_scope(connection) as get:
            found = await get(self.provider)
            assert await get(self.provider) is found, "it is one within a request"
            yield found

    async def ask(self, app: FastAPI, name: str = "ada") -> int:
        async with self.asked(app, name) as value:
            return value


@pytest.fixture(params=DECLARED)
def lifetime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_open(lifetime: str) -> None:
    """What lives long is open before the first request; the rest when a request needs it."""
    world = World(lifetime)
    async with world.running() as app:
        assert world.log == (["open 1"] if lifetime in LONG else [])
        async with world.asked(app) as value:
            assert value == 1
            assert world.log == ["open 1"]


async def test_share(lifetime: str) -> None:
    """Two requests, two keys, two applications: each tells how far an instance is shared."""
    world = World(lifetime)
    async with world.running() as app, world.running() as another:
        first = await world.ask(app)
        assert (await world.ask(app) == first) is (lifetime not in SHORT)
        assert (await world.ask(app, "eve") == first) is (lifetime in LONG)
        assert (await world.ask(another) == first) is (lifetime == "singleton")


async def test_close(lifetime: str) -> None:
    """With the request, with the application, with the last application; what is kept stays for the next request."""
    world = World(lifetime)
    async with world.running():
        async with world.running() as app:
            number = await world.ask(app)
            assert (f"close {number}" in world.log) is (lifetime in SHORT)
        assert (f"close {number}" in world.log) is (lifetime != "singleton")
    assert sorted(world.log) == sorted({*world.log}), "each opens and closes once"
    assert len(world.log) % 2 == 0


async def test_error(lifetime: str) -> None:
    """What lives long ends the start; what is kept is away, and tried again; what lives shortly raises as it is."""
    world = World(lifetime)
    world.error = ConnectionError("away")
    if lifetime in LONG:
        with pytest.raises(StartupError, match="ConnectionError: away") as caught:
            async with world.running():
                pass
        assert caught.value.__cause__ is world.error
        return
    async with world.running() as app:
        with pytest.raises(Unavailable if lifetime in KEPT else ConnectionError, match="away"):
            await world.ask(app)
        world.error = None
        assert await world.ask(app) == 2


async def test_concurrency(lifetime: str) -> None:
    """A thousand requests at once, of ten senders."""
    world = World(lifetime)
    found: set[int] = set()
    async with world.running() as app:

        async def ask(number: int) -> None:
            found.add(await world.ask(app, f"sender {number % 10}"))

        async with anyio.create_task_group() as tasks:
            for number in range(1000):
                tasks.start_soon(ask, number)
        assert len(found) == {"keyed": 10, "session": 10, "request": 1000, "function": 1000}.get(lifetime, 1)
    assert len(world.log) == 2 * len(found)


@pytest.mark.parametrize(("kept", "status"), [("keyed", 400), ("session", 401)])
async def test_without_a_key_there_is_none(kept: str, status: int) -> None:
    world = World(kept)
    async with world.running() as app:
        with pytest.raises(NoKey) as caught:
            async with world.asked(app, None):
                pass
        assert caught.value.status == status
    assert world.log == []
