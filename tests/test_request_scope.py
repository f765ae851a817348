"""Request-scoped things for work that is no route."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI, Header, Request, Response
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from heykit import lifespan, lifespan_with, provided, request_scope, scope
from heykit.errors import NotOpen, OverrideError

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


@scope.application
async def database() -> str:
    return "database"


@scope.function
async def transaction(on: str = provided(database)) -> AsyncGenerator[str]:
    LOG.append(f"begin on {on}")
    try:
        yield "transaction"
    except BaseException as error:
        await anyio.lowlevel.checkpoint()
        LOG.append(f"rollback {type(error).__name__}")
        raise
    LOG.append("commit")


@scope.request
async def service(on: str = provided(transaction)) -> AsyncGenerator[str]:
    yield f"service on {on}"


@scope.request
async def repository(on: str = provided(transaction)) -> str:
    return f"repository on {on}"


@scope.request
async def path(connection: HTTPConnection) -> str:
    return connection.url.path


@scope.request
async def agent(user_agent: Annotated[str, Header()]) -> str:
    return user_agent


async def test_a_worker_has_its_own_instances_closed_at_the_end_of_the_block(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    async with app.router.lifespan_context(app):
        for _ in range(2):
            async with request_scope(app) as get:
                assert await get(repository) == "repository on transaction"
                assert await get(transaction) == "transaction"
                assert await get(database) == "database"
    assert log == ["begin on database", "commit"] * 2


async def failing(app: FastAPI) -> None:
    async with request_scope(app) as get:
        await get(transaction)
        raise ValueError("mine")


async def test_an_error_rolls_back_and_comes_out(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    async with app.router.lifespan_context(app):
        with pytest.raises(ValueError, match="mine"):
            await failing(app)
    assert log == ["begin on database", "rollback ValueError"]


async def test_a_cancellation_from_outside_does_not_interrupt_the_closing(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    async with app.router.lifespan_context(app):

        async def work() -> None:
            async with request_scope(app) as get:
                await get(transaction)
                await anyio.sleep_forever()

        async with anyio.create_task_group() as workers:
            workers.start_soon(work)
            await anyio.wait_all_tasks_blocked()
            workers.cancel_scope.cancel()
    assert log[0] == "begin on database"
    assert log[1].startswith("rollback Cancelled")


def test_a_middleware_has_the_connection(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan_with(database))

    class Telling(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            async with request_scope(request) as get:
                LOG.append(await get(path))
            return await call_next(request)

    app.add_middleware(Telling)

    @app.get("/where")
    async def where(of: str = provided(path)) -> str:
        return of

    with TestClient(app) as client:
        assert client.get("/where").json() == "/where"
    assert log == ["/where"]


async def test_what_only_fastapi_can_parse_is_not_to_be_had(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    async with app.router.lifespan_context(app), request_scope(app) as get:
        with pytest.raises(NotOpen, match="agent needs what only FastAPI can take from a request"):
            await get(agent)
        with pytest.raises(NotOpen, match="a connection is needed"):
            await get(path)


async def test_without_a_lifespan_it_says_what_to_do() -> None:
    with pytest.raises(NotOpen, match="lifespan is not running"):
        async with request_scope(FastAPI(lifespan=lifespan)):
            raise AssertionError("it must not open")


async def test_overrides_are_honoured_and_half_a_fake_is_refused() -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    app.dependency_overrides[transaction] = lambda: "fake"
    async with app.router.lifespan_context(app), request_scope(app) as get:
        assert await get(repository) == "repository on fake"
        assert await get(transaction) == "fake"
    app.dependency_overrides.clear()
    async with app.router.lifespan_context(app), request_scope(app) as get:
        app.dependency_overrides[database] = lambda: "fake"
        assert await get(repository) == "repository on transaction"
    app.dependency_overrides.clear()


async def test_an_open_thing_built_on_what_was_overridden_since_is_refused() -> None:
    @scope.application
    async def repository_of_all(on: str = provided(database)) -> str:
        return on

    @scope.request
    async def user(of: str = provided(repository_of_all)) -> str:
        return of

    app = FastAPI(lifespan=lifespan_with(repository_of_all))
    async with app.router.lifespan_context(app), request_scope(app) as get:
        app.dependency_overrides[database] = lambda: "fake"
        with pytest.raises(OverrideError, match="repository_of_all is open and was built on database"):
            await get(user)


async def test_nothing_is_opened_once_its_block_has_ended() -> None:
    app = FastAPI(lifespan=lifespan_with(database))
    async with app.router.lifespan_context(app):
        async with request_scope(app) as get:
            pass
        with pytest.raises(NotOpen, match="after its block had ended"):
            await get(transaction)
