"""What lives as long as an application: opened by its lifespan, shared, closed in reverse."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

import anyio
import anyio.lowlevel
import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypeAliasType

from heykit import lifespan, lifespan_with, opened, provided, scope
from heykit.errors import NotOpen, ShutdownError, StartupError, Unavailable
from heykit.lifetime import instances
from heykit.scope import Provider


@pytest.fixture
def log() -> list[str]:
    return []


@asynccontextmanager
async def logged(log: list[str], name: str) -> AsyncGenerator[str]:
    log.append(f"open {name}")
    try:
        yield name
    finally:
        log.append(f"close {name}")


async def test_all_three_forms_of_factory_open_and_close_in_reverse_order(log: list[str]) -> None:
    """A coroutine function, an async generator function, a function that returns an async context manager."""

    @scope.application
    async def number() -> int:
        log.append("open number")
        return 1

    @scope.application
    async def generator(n: int = provided(number)) -> AsyncGenerator[str]:
        async with logged(log, f"generator {n}") as value:
            yield value

    @scope.application
    def manager(below: str = provided(generator)) -> AbstractAsyncContextManager[str]:
        return logged(log, f"manager on {below}")

    async with opened(manager) as value:
        assert value == "manager on generator 1"
    assert log == [
        "open number",
        "open generator 1",
        "open manager on generator 1",
        "close manager on generator 1",
        "close generator 1",
    ]


def test_one_instance_serves_every_request_websocket_and_mounted_application(log: list[str]) -> None:
    @scope.application
    def shared() -> AbstractAsyncContextManager[str]:
        return logged(log, "shared")

    inner = FastAPI()

    @inner.get("/")
    async def in_mount(value: str = provided(shared)) -> str:
        return value

    router = APIRouter(dependencies=[Depends(shared)])

    @router.get("/router")
    async def in_router() -> str:
        return "router"

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    app.mount("/inner", inner)

    @app.get("/")
    async def plain(value: str = provided(shared)) -> str:
        return value

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, value: str = provided(shared)) -> None:
        await websocket.accept()
        await websocket.send_text(value)
        await websocket.close()

    with TestClient(app) as client:
        assert [client.get(path).json() for path in ("/", "/router", "/inner/")] == ["shared", "router", "shared"]
        with client.websocket_connect("/ws") as websocket:
            assert websocket.receive_text() == "shared"
    assert log == ["open shared", "close shared"]


def test_what_only_a_mounted_application_or_a_websocket_or_a_router_names_is_opened_too(log: list[str]) -> None:
    @scope.application
    def of_mount() -> AbstractAsyncContextManager[str]:
        return logged(log, "mount")

    @scope.application
    def of_socket() -> AbstractAsyncContextManager[str]:
        return logged(log, "socket")

    @scope.application
    def of_inclusion() -> AbstractAsyncContextManager[str]:
        return logged(log, "inclusion")

    @scope.application
    def of_application() -> AbstractAsyncContextManager[str]:
        return logged(log, "application")

    inner = FastAPI()
    inner.get("/", dependencies=[Depends(of_mount)])(lambda: None)
    router = APIRouter()
    router.get("/")(lambda: None)
    app = FastAPI(lifespan=lifespan, dependencies=[Depends(of_application)])
    app.include_router(router, dependencies=[Depends(of_inclusion)])
    app.mount("/deep", inner)

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, value: str = provided(of_socket)) -> None: ...

    with TestClient(app):
        assert sorted(log) == ["open application", "open inclusion", "open mount", "open socket"]


def test_a_worker_that_no_route_names_is_opened_by_lifespan_with(log: list[str]) -> None:
    @scope.application
    def worker() -> AbstractAsyncContextManager[str]:
        return logged(log, "worker")

    with TestClient(FastAPI(lifespan=lifespan_with(worker))):
        assert log == ["open worker"]
    assert log == ["open worker", "close worker"]


async def test_independent_things_open_side_by_side() -> None:
    """Each of three waits until the other two are opening as well: one after another they would wait for ever."""
    all_opening = anyio.Event()
    opening: list[str] = []

    async def meet(name: str) -> str:
        opening.append(name)
        if len(opening) == 3:
            all_opening.set()
        await all_opening.wait()
        return name

    @scope.application(timeout=5)
    async def one() -> str:
        return await meet("one")

    @scope.application(timeout=5)
    async def two() -> str:
        return await meet("two")

    @scope.application(timeout=5)
    async def three() -> str:
        return await meet("three")

    @scope.application
    async def everything(a: str = provided(one), b: str = provided(two), c: str = provided(three)) -> list[str]:
        return [a, b, c]

    async with opened(everything) as value:
        assert value == ["one", "two", "three"]


async def test_a_failed_start_closes_what_was_open_and_raises_one_error_from_its_cause(log: list[str]) -> None:
    cause = OSError("no such host")

    @scope.application
    def first() -> AbstractAsyncContextManager[str]:
        return logged(log, "first")

    @scope.application
    async def broken(below: str = provided(first)) -> str:
        raise cause

    @scope.application
    def never(below: str = provided(broken)) -> AbstractAsyncContextManager[str]:
        return logged(log, "never")

    with pytest.raises(
        StartupError, match=r"broken \(.*test_lifetime\.py:\d+\) could not be opened: OSError"
    ) as caught:
        async with opened(never):
            raise AssertionError("it must not serve")
    assert caught.value.__cause__ is cause
    assert log == ["open first", "close first"]


async def test_a_sibling_that_is_still_opening_is_given_up_when_another_fails(log: list[str]) -> None:
    both = anyio.Event()

    @scope.application
    async def slow() -> AsyncGenerator[str]:
        try:
            both.set()
            await anyio.sleep_forever()
        finally:
            log.append("slow gave up")
        yield "slow"

    @scope.application
    async def broken() -> str:
        await both.wait()
        raise ValueError("broken")

    @scope.application
    async def top(a: str = provided(slow), b: str = provided(broken)) -> str:
        return a + b

    with pytest.raises(StartupError, match="broken"):
        async with opened(top):
            raise AssertionError("it must not serve")
    assert log == ["slow gave up"]


async def test_what_takes_too_long_to_open_is_named_with_its_limit() -> None:
    @scope.application(timeout=0.01)
    async def slow() -> str:
        await anyio.sleep_forever()
        return "slow"

    with pytest.raises(StartupError, match=r"slow .* could not be opened: TimeoutError: it took more than 0.01 s"):
        async with opened(slow):
            raise AssertionError("it must not serve")


async def test_what_takes_too_long_to_close_is_given_up_and_the_rest_still_closes(log: list[str]) -> None:
    @scope.application
    def below() -> AbstractAsyncContextManager[str]:
        return logged(log, "below")

    @scope.application(timeout=0.01)
    async def stubborn(value: str = provided(below)) -> AsyncGenerator[str]:
        yield value
        await anyio.sleep_forever()

    with pytest.raises(ShutdownError, match="stubborn"):
        async with opened(stubborn):
            log.append("served")
    assert log == ["open below", "served", "close below"]


async def test_an_error_while_closing_is_raised_at_the_end_and_the_rest_closes(log: list[str]) -> None:
    error = RuntimeError("will not close")

    @scope.application
    def below() -> AbstractAsyncContextManager[str]:
        return logged(log, "below")

    @scope.application
    async def broken(value: str = provided(below)) -> AsyncGenerator[str]:
        yield value
        raise error

    with pytest.raises(ShutdownError) as caught:
        async with opened(broken):
            log.append("served")
    assert caught.value.errors == (error,)
    assert log == ["open below", "served", "close below"]


async def test_an_error_of_the_user_comes_out_as_it_is(log: list[str]) -> None:
    @scope.application
    def thing() -> AbstractAsyncContextManager[str]:
        return logged(log, "thing")

    with pytest.raises(KeyError, match="mine"):
        async with opened(thing):
            raise KeyError("mine")
    assert log == ["open thing", "close thing"]


async def test_cancellation_from_outside_closes_everything_in_order(log: list[str]) -> None:
    @scope.application
    def below() -> AbstractAsyncContextManager[str]:
        return logged(log, "below")

    @scope.application
    async def above(value: str = provided(below)) -> AsyncGenerator[str]:
        async with logged(log, "above"):
            try:
                yield value
            finally:
                await anyio.lowlevel.checkpoint()  # it may still wait while closing
                log.append("above has waited")

    async def serve() -> None:
        async with opened(above):
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert log == ["open below", "open above", "above has waited", "close above", "close below"]


async def test_cancellation_while_opening_leaves_nothing_open(log: list[str]) -> None:
    @scope.application
    def below() -> AbstractAsyncContextManager[str]:
        return logged(log, "below")

    @scope.application
    async def slow(value: str = provided(below)) -> str:
        await anyio.sleep_forever()
        return value

    async def serve() -> None:
        async with opened(slow):
            raise AssertionError("it must not serve")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert log == ["open below", "close below"]


def test_one_that_crashes_while_serving_fails_alone(caplog: pytest.LogCaptureFixture, log: list[str]) -> None:
    """Its own routes answer 503 in time; the others go on, and shutdown is clean."""
    crash = anyio.Event()

    @scope.application
    async def fragile() -> AsyncGenerator[str]:
        async def background() -> None:
            await crash.wait()
            raise ConnectionError("the other side is gone")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(background)
            yield "fragile"

    @scope.application
    def sturdy() -> AbstractAsyncContextManager[str]:
        return logged(log, "sturdy")

    app = FastAPI(lifespan=lifespan)

    @app.get("/fragile")
    async def use_fragile(value: str = provided(fragile)) -> str:
        return value

    @app.get("/sturdy")
    async def use_sturdy(value: str = provided(sturdy)) -> str:
        return value

    @app.post("/crash")
    async def let_it_crash() -> None:
        crash.set()
        await anyio.wait_all_tasks_blocked()

    @app.get("/states")
    async def states(connection: HTTPConnection) -> dict[str, str]:
        return {name: held.state for name, held in instances(connection).items()}

    with TestClient(app) as client, caplog.at_level(logging.ERROR, "heykit.lifetime"):
        assert client.get("/fragile").json() == "fragile"
        client.post("/crash")
        with pytest.raises(Unavailable, match="fragile has failed"):
            client.get("/fragile")
        assert client.get("/sturdy").json() == "sturdy"
        assert client.get("/states").json() == {"fragile": "failed", "sturdy": "open"}
    assert "failed while serving" in caplog.text
    assert log == ["open sturdy", "close sturdy"]


async def test_a_fallback_serves_what_cannot_open(caplog: pytest.LogCaptureFixture) -> None:
    @scope.application
    async def in_memory() -> str:
        return "memory"

    @scope.application(fallback=in_memory)
    async def in_redis() -> str:
        raise ConnectionError("redis is away")

    @scope.application
    async def top(cache: str = provided(in_redis)) -> str:
        return f"on {cache}"

    async with opened(top) as value:
        assert value == "on memory"
    assert "in_memory serves instead" in caplog.text


async def test_a_fallback_that_fails_too_ends_the_start() -> None:
    @scope.application
    async def in_memory() -> str:
        raise MemoryError("full")

    @scope.application(fallback=in_memory)
    async def in_redis() -> str:
        raise ConnectionError("redis is away")

    with pytest.raises(StartupError, match="MemoryError"):
        async with opened(in_redis):
            raise AssertionError("it must not serve")


def test_a_lifespan_entered_twice_opens_once_and_adds_what_is_new(log: list[str]) -> None:
    @scope.application
    def shared() -> AbstractAsyncContextManager[str]:
        return logged(log, "shared")

    @scope.application
    async def extra(value: str = provided(shared)) -> AsyncGenerator[str]:
        async with logged(log, f"extra on {value}") as name:
            yield name

    router = APIRouter(lifespan=lifespan_with(extra))

    @router.get("/")
    async def get(value: str = provided(shared)) -> str:
        return value

    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/").json() == "shared"
    assert log == ["open shared", "open extra on shared", "close extra on shared", "close shared"]


def test_it_works_inside_a_lifespan_that_keeps_its_own_state() -> None:
    """A user's own lifespan that does not hand our state on."""

    @scope.application
    async def number() -> int:
        return 7

    @asynccontextmanager
    async def mine(app: FastAPI) -> AsyncGenerator[dict[str, object]]:
        async with lifespan(app):
            yield {"mine": 1}

    app = FastAPI(lifespan=mine)

    @app.get("/")
    async def get(value: int = provided(number)) -> int:
        return value

    with TestClient(app) as client:
        assert client.get("/").json() == 7


def test_an_application_started_twice_opens_everything_anew() -> None:
    @scope.application
    async def fresh() -> object:
        return object()

    seen: list[object] = []
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: object = provided(fresh)) -> None:
        seen.append(value)

    for _ in range(2):
        with TestClient(app) as client:
            client.get("/")
    first, second = seen
    assert first is not second


def test_without_a_lifespan_the_error_says_what_to_do() -> None:
    @scope.application
    async def number() -> int:
        return 7

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: int = provided(number)) -> int:
        return value

    with pytest.raises(NotOpen, match="with TestClient"):
        TestClient(app).get("/")


def test_a_route_added_after_the_start_is_told_to_come_earlier() -> None:
    @scope.application
    async def number() -> int:
        return 7

    app = FastAPI(lifespan=lifespan)
    with TestClient(app) as client:

        @app.get("/")
        async def get(value: int = provided(number)) -> int:
            return value

        with pytest.raises(NotOpen, match="before the application starts"):
            client.get("/")


async def test_a_request_scoped_chain_can_be_opened_outside_an_application(log: list[str]) -> None:
    @scope.application
    def database() -> AbstractAsyncContextManager[str]:
        return logged(log, "database")

    @scope.function
    async def transaction(below: str = provided(database)) -> AsyncGenerator[str]:
        async with logged(log, f"transaction on {below}") as value:
            yield value

    async with opened(transaction) as value:
        log.append(value)
    assert log == [
        "open database",
        "open transaction on database",
        "transaction on database",
        "close transaction on database",
        "close database",
    ]


async def test_what_needs_a_connection_cannot_be_opened_without_one() -> None:
    @scope.request
    async def path(connection: HTTPConnection) -> str:
        return connection.url.path

    with pytest.raises(NotOpen, match="connection"):
        async with opened(path):
            raise AssertionError("it must not serve")


def test_instances_of_one_name_are_told_apart_by_their_modules(log: list[str]) -> None:
    def make(module: str) -> Provider[str]:
        async def cache() -> str:
            return module

        cache.__module__ = module
        return scope.application(cache)

    app = FastAPI(lifespan=lifespan, dependencies=[Depends(make("videos")), Depends(make("avatars"))])

    @app.get("/")
    async def names(connection: HTTPConnection) -> list[str]:
        return list(instances(connection))

    with TestClient(app) as client:
        assert sorted(client.get("/").json()) == ["avatars.cache", "videos.cache"]


class Wrapping:
    """A middleware in the way of many: it keeps what it wraps as `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("way", ["mount", "middleware", "wrapped", "host", "router", "included"])
def test_what_is_mounted_in_any_way_is_found(way: str) -> None:
    @scope.application
    async def number() -> int:
        return 7

    inner = FastAPI()
    router = APIRouter()
    for part in (inner, router):

        @part.get("/number")
        async def get(value: int = provided(number)) -> int:
            return value

    app = FastAPI(lifespan=lifespan)
    if way == "mount":
        app.mount("/at", inner)
    elif way == "middleware":
        app.router.routes.append(Mount("/at", inner, middleware=[Middleware(Wrapping)]))
    elif way == "wrapped":
        app.mount("/at", Wrapping(inner))
    elif way == "host":
        app.host("testserver", Wrapping(FastAPI(routes=[Mount("/at", inner)])))
    elif way == "router":
        app.mount("/at", router)
    else:
        between = APIRouter()
        between.mount("/at", inner)
        app.include_router(between)
    with TestClient(app) as client:
        assert client.get("/at/number").json() == 7


def test_a_type_alias_is_looked_through() -> None:
    @scope.application
    async def number() -> int:
        return 7

    Number = TypeAliasType("Number", Annotated[int, Depends(number)])  # noqa: N806 - a type

    async def doubled(of: int) -> int:
        return 2 * of

    doubled.__annotations__["of"] = Number
    twice = scope.request(doubled)
    app = FastAPI(lifespan=lifespan)

    async def get(value: int, more: int = provided(twice)) -> list[int]:
        return [value, more]

    get.__annotations__["value"] = Number
    app.get("/")(get)
    with TestClient(app) as client:
        assert client.get("/").json() == [7, 14]
