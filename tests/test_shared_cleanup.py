"""What closes after a request, FastAPI's generators and providers side by side: one scope shields them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Annotated, Any

import anyio
import pytest
from anyio.abc import TaskGroup
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel, Discriminator, Tag
from starlette.types import Message

from heykit import CompiledRoute, lifespan, provided, scope
from heykit.compiled import uncompiled
from heykit.testing import overridden
from tests.asgi import http_scope

Declared = Callable[[Callable[..., Any]], Any]
ROUTES = pytest.mark.parametrize("route_class", [APIRoute, CompiledRoute])
WITHIN = pytest.mark.parametrize("within", [False, True], ids=["in a task of its own", "within a scope"])


def plain(function: Callable[..., Any]) -> Any:
    return function


REQUEST = pytest.mark.parametrize("declare", [plain, scope.request], ids=["fastapi", "heykit"])
FUNCTION = pytest.mark.parametrize("declare", [plain, scope.function], ids=["fastapi", "heykit"])


def app_of(router: APIRouter) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    return app


async def asked(app: FastAPI, *, within: bool) -> list[Any]:
    """Ask as a server does, or within a scope, as some middleware does; give the statuses sent, and what was raised."""
    found: list[Any] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def ask() -> None:
        try:
            await app(http_scope(), _never, send)
        except Exception as error:  # noqa: BLE001 - it is told
            found.append(error)

    async with app.router.lifespan_context(app):
        if within:
            with anyio.fail_after(5):
                await ask()
        else:
            await asyncio.create_task(ask())
    return found


@ROUTES
@WITHIN
@FUNCTION
@pytest.mark.parametrize("parses", [False, True])
async def test_a_time_limit_that_is_held_and_then_a_generator_of_fastapis(
    route_class: type[APIRoute], within: bool, declare: Declared, parses: bool
) -> None:
    """The limit is left first, whichever of them came first: the scope that shields both is outside of it."""
    log: list[str] = []

    async def limited() -> AsyncGenerator[str]:
        with anyio.fail_after(60):
            yield "limited"
            log.append("close limited")

    async def limited_by_header(x: Annotated[str, Header()] = "") -> AsyncGenerator[str]:
        with anyio.fail_after(60):
            yield x
            log.append("close limited")

    async def other() -> AsyncGenerator[str]:
        yield "other"
        log.append("close other")

    router = APIRouter(route_class=route_class)
    first: str = Depends(declare(limited_by_header if parses else limited), scope="function")
    if declare is not plain:
        first = provided(declare(limited_by_header if parses else limited))

    @router.get("/")
    async def get(a: str = first, b: str = provided(other)) -> None: ...

    assert await asked(app_of(router), within=within) == [200]
    assert log == ["close limited", "close other"]


@FUNCTION
def test_so_it_is_in_a_websocket(declare: Declared) -> None:
    log: list[str] = []

    async def limited() -> AsyncGenerator[str]:
        with anyio.fail_after(60):
            yield "limited"
            log.append("close limited")

    async def other() -> AsyncGenerator[str]:
        yield "other"
        log.append("close other")

    app = FastAPI(lifespan=lifespan)
    first: str = Depends(limited, scope="function") if declare is plain else provided(declare(limited))

    @app.websocket("/")
    async def talk(socket: WebSocket, a: str = first, b: str = provided(other)) -> None:
        await socket.accept()
        await socket.send_text(a)

    with TestClient(app) as client, client.websocket_connect("/") as talking:
        assert talking.receive_text() == "limited"
    assert log == ["close limited", "close other"]


@ROUTES
@WITHIN
@REQUEST
async def test_what_a_held_task_group_interrupts_is_not_shielded_from_it(
    route_class: type[APIRoute], within: bool, declare: Declared
) -> None:
    log: list[str] = []

    async def crash() -> None:
        raise KeyError("child")

    async def group() -> AsyncGenerator[TaskGroup]:
        async with anyio.create_task_group() as tasks:
            yield tasks

    made: TaskGroup = provided(declare(group))

    async def other(tasks: TaskGroup = made) -> AsyncGenerator[str]:
        yield "other"
        tasks.start_soon(crash)
        try:
            await anyio.sleep(0.5)
            log.append("whole")
        except BaseException:
            log.append("interrupted")
            raise

    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(of: str = provided(other)) -> None: ...

    await asked(app_of(router), within=within)
    assert log == ["interrupted"]


@ROUTES
@WITHIN
@REQUEST
async def test_what_closes_next_sees_a_cancellation_whatever_form_the_one_before_has(
    route_class: type[APIRoute], within: bool, declare: Declared
) -> None:
    log: list[str] = []

    async def group() -> AsyncGenerator[TaskGroup]:
        async with anyio.create_task_group() as tasks:
            yield tasks
            log.append("commits")

    made: TaskGroup = provided(declare(group))

    async def by_keyword_only(*, tasks: TaskGroup = made) -> AsyncGenerator[str]:
        yield "other"
        tasks.cancel_scope.cancel()

    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(of: str = provided(declare(by_keyword_only))) -> None: ...

    await asked(app_of(router), within=within)
    assert log == []


@ROUTES
@pytest.mark.parametrize("ours", [True, False])
async def test_after_a_sync_generator_nobody_looks_for_one(route_class: type[APIRoute], ours: bool) -> None:
    """FastAPI leaves those to their thread; so it is with a fake in the place of a provider."""
    log: list[str] = []
    request = anyio.CancelScope()

    async def below() -> AsyncGenerator[str]:
        try:
            yield "below"
        except BaseException:
            log.append("rolls back")
            raise
        log.append("commits")

    beneath: Any = scope.function(below) if ours else below
    of_it: str = provided(beneath) if ours else Depends(beneath, scope="function")

    async def real(of: str = of_it) -> AsyncGenerator[str]:
        yield of

    def fake(of: str = of_it) -> Generator[str]:
        yield of
        log.append("fake closes")

    replaced: Any = scope.function(real) if ours else real
    router = APIRouter(route_class=route_class)

    async def top(of: str = provided(replaced) if ours else Depends(replaced, scope="function")) -> str:
        return of

    @router.get("/")
    async def get(of: str = provided(scope.request(top) if ours else top)) -> None:
        request.cancel()

    app = app_of(router)
    app.dependency_overrides.update({} if ours else {replaced: fake})
    with overridden(app, {replaced: fake} if ours else {}), request:
        await app(http_scope(), _never, _nowhere)
    assert log == ["fake closes", "commits"]


async def _never() -> Message:
    await anyio.sleep_forever()
    raise AssertionError


async def _nowhere(message: Message) -> None: ...


class Cat(BaseModel):
    name: str


class Dog(BaseModel):
    name: str


DISCRIMINATED: list[object] = []


def kind_of(value: Any) -> str:
    DISCRIMINATED.append(value)
    return "cat"


Pet = Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)]


@ROUTES
def test_code_that_chooses_a_type_runs_after_authentication(route_class: type[APIRoute]) -> None:
    async def nobody() -> None:
        raise HTTPException(401)

    router = APIRouter(route_class=route_class, dependencies=[Depends(nobody)])

    @router.post("/")
    async def post(
        pet: Annotated[Annotated[Cat, Tag("cat")] | Annotated[Dog, Tag("dog")], Discriminator(kind_of)],
    ) -> None: ...

    DISCRIMINATED.clear()
    app = app_of(router)
    with TestClient(app) as client:
        assert client.post("/", json={"name": "Tom"}).status_code == 401
    assert DISCRIMINATED == []
    assert [*uncompiled(app)] == ([] if route_class is APIRoute else ["/"])
