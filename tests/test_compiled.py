"""A compiled route: FastAPI's behaviour without FastAPI's walk."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import AfterValidator
from starlette.types import Message

import heykit.compiled
from heykit import CompiledRoute, _plan, lifespan, provided, scope
from heykit.compiled import compiled, uncompiled

LOG: list[str] = []


@pytest.fixture
def log() -> list[str]:
    LOG.clear()
    return LOG


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The endpoints that compiled routes resolved by themselves."""
    found: list[str] = []
    resolved = _plan.resolved

    async def watched(plan: Any, known: Any, instances: Any, connection: Any) -> dict[str, object]:
        found.append(connection.url.path)
        return await resolved(plan, known, instances, connection)

    monkeypatch.setattr(heykit.compiled, "resolved", watched)
    return found


@scope.application
async def number() -> int:
    return 7


@scope.request
async def session() -> AsyncGenerator[str]:
    LOG.append("open session")
    yield "session"
    LOG.append("close session")


@scope.function
async def transaction() -> AsyncGenerator[str]:
    LOG.append("begin")
    try:
        yield "transaction"
    except BaseException as error:
        LOG.append(f"rollback {type(error).__name__}")
        raise
    LOG.append("commit")


@scope.request
async def refused() -> str:
    LOG.append("refused")
    raise HTTPException(401, "who are you?")


@scope.request
async def with_header(x: Annotated[str, Header()]) -> str:
    return x


def app_of(router: APIRouter, **options: Any) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.include_router(router, **options)
    return app


def test_it_resolves_a_chain_of_providers_by_itself(log: list[str], straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/{id}")
    async def get(
        id: int, q: str, n: int = provided(number), on: str = provided(transaction), of: str = provided(session)
    ) -> list[object]:
        LOG.append("endpoint")
        return [id, q, n, on, of]

    with TestClient(app_of(router)) as client:
        assert client.get("/1", params={"q": "x"}).json() == [1, "x", 7, "transaction", "session"]
    assert log == ["begin", "open session", "endpoint", "commit", "close session"]
    assert straight == ["/1"]


def test_a_sync_endpoint_runs_in_a_thread_as_ever(straight: list[str]) -> None:
    import threading

    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    def get(n: int = provided(number)) -> bool:
        return threading.current_thread() is not threading.main_thread()

    with TestClient(app_of(router)) as client:
        assert client.get("/").json() is True
    assert straight == ["/"]


def test_authentication_that_stands_only_at_the_inclusion_is_never_skipped(log: list[str], straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(n: int = provided(number)) -> int:
        LOG.append("endpoint")
        return n

    between = APIRouter()
    between.include_router(router, prefix="/inner", dependencies=[Depends(refused)])
    with TestClient(app_of(between, prefix="/outer")) as client:
        assert client.get("/outer/inner/").status_code == 401
    assert log == ["refused"]
    assert straight == ["/outer/inner/"]


def test_nor_is_that_of_the_application(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan, dependencies=[Depends(refused)])
    app.router.route_class = CompiledRoute

    @app.get("/")
    async def get(n: int = provided(number)) -> int:
        LOG.append("endpoint")
        return n

    with TestClient(app) as client:
        assert client.get("/").status_code == 401
    assert log == ["refused"]


def test_a_dependency_comes_before_a_wrong_parameter_as_with_fastapi(log: list[str]) -> None:
    """FastAPI opens dependencies first: it is 401, not 422, and the dependency is called once."""
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(q: int, who: str = provided(refused)) -> None: ...

    with TestClient(app_of(router)) as client:
        assert client.get("/", params={"q": "no number"}).status_code == 401
    assert log == ["refused"]


def test_a_wrong_body_is_told_as_by_fastapi(log: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.post("/")
    async def post(body: dict[str, int], on: str = provided(transaction)) -> None: ...

    with TestClient(app_of(router)) as client:
        response = client.post("/", json={"a": "no number"})
    assert (response.status_code, response.json()["detail"][0]["loc"]) == (422, ["body", "a"])
    assert log == ["begin", "rollback RequestValidationError"]


def test_an_http_exception_after_a_stream_was_promised_keeps_its_status(log: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(of: str = provided(session), who: str = provided(refused)) -> StreamingResponse:
        return StreamingResponse(iter([b"never"]))

    with TestClient(app_of(router)) as client:
        assert client.get("/").status_code == 401


def test_a_transaction_is_open_until_the_response_is_validated(log: list[str]) -> None:
    """A commit before would stand although the client is told of an error."""
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/", response_model=int)
    async def get(on: str = provided(transaction)) -> str:
        return "no number"

    with TestClient(app_of(router), raise_server_exceptions=False) as client:
        assert client.get("/").status_code == 500
    assert log == ["begin", "rollback ResponseValidationError"]


def test_what_it_cannot_compile_is_left_to_fastapi(straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/parsed")
    async def parsed(x: str = provided(with_header)) -> str:
        return x

    @router.get("/plain")
    async def plain(x: Annotated[str, Depends(lambda: "plain")]) -> str:
        return x

    @router.get("/stream")
    async def stream(n: int = provided(number)) -> AsyncGenerator[int]:
        yield n

    with TestClient(app_of(router)) as client:
        assert client.get("/parsed", headers={"x": "header"}).json() == "header"
        assert client.get("/plain").json() == "plain"
        assert client.get("/stream").text.strip() == "7"
    assert straight == []


def test_what_is_left_to_fastapi_is_told_with_its_reason() -> None:
    router = APIRouter(route_class=CompiledRoute)
    twice = APIRouter(route_class=CompiledRoute)

    @router.get("/compiled")
    async def of_number(n: int = provided(number)) -> None: ...

    @router.get("/parsed")
    async def parsed(x: str = provided(with_header)) -> None: ...

    @router.get("/stream")
    async def stream(n: int = provided(number)) -> AsyncGenerator[int]:
        yield n

    @router.get("/nothing")
    async def nothing() -> None: ...

    @twice.get("/twice")
    async def of_two(n: int = provided(number)) -> None: ...

    app = app_of(router)
    app.include_router(twice, prefix="/a")
    app.include_router(twice, prefix="/b")
    assert uncompiled(app) == {
        "/parsed": "FastAPI must resolve with_header",
        "/stream": "its endpoint is a generator",
        "/nothing": "it has no dependencies",
        "/a/twice": "it stands in the application 2 times",
        "/b/twice": "it stands in the application 2 times",
    }


def test_a_route_included_twice_is_left_to_fastapi(log: list[str], straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(n: int = provided(number)) -> int:
        return n

    app = FastAPI(lifespan=lifespan)
    app.include_router(router, prefix="/open")
    app.include_router(router, prefix="/closed", dependencies=[Depends(refused)])
    with TestClient(app) as client:
        assert [client.get(path).status_code for path in ("/open/", "/closed/")] == [200, 401]
    assert straight == []


def test_a_request_whose_chain_is_overridden_is_left_to_fastapi_and_others_are_not(straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/number")
    async def of_number(n: int = provided(number)) -> int:
        return n

    @router.get("/session")
    async def of_session(of: str = provided(session)) -> str:
        return of

    app = app_of(router)
    app.dependency_overrides[session] = lambda: "fake"
    with TestClient(app) as client:
        assert client.get("/session").json() == "fake"
        assert client.get("/number").json() == 7
    assert straight == ["/number"]


def test_what_a_route_class_of_ones_own_does_stays_around_it(straight: list[str]) -> None:
    class Stamped(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def handler(request: Request) -> Response:
                response = await inner(request)
                response.headers["stamp"] = "once"
                return response

            return handler

    router = APIRouter(route_class=compiled(Stamped))

    @router.get("/")
    async def get(n: int = provided(number)) -> int:
        return n

    with TestClient(app_of(router)) as client:
        response = client.get("/")
    assert (response.json(), response.headers.get_list("stamp")) == (7, ["once"])
    assert straight == ["/"]


def test_openapi_is_that_of_the_native_route() -> None:
    def openapi(route_class: type[APIRoute]) -> dict[str, Any]:
        router = APIRouter(route_class=route_class)

        @router.get("/{id}", responses={404: {"description": "gone"}})
        async def get(id: int, q: Annotated[str, Query(max_length=3)], n: int = provided(number)) -> int:
            """Give it."""
            return n

        return app_of(router, prefix="/v1", tags=["numbers"]).openapi()

    assert openapi(CompiledRoute) == openapi(APIRoute)


@pytest.mark.parametrize("route_class", [APIRoute, CompiledRoute])
async def test_a_cancellation_from_outside_does_not_interrupt_a_roll_back(route_class: type[APIRoute]) -> None:
    log: list[str] = []

    @scope.function
    async def slow() -> AsyncGenerator[str]:
        try:
            yield "transaction"
        finally:
            await anyio.lowlevel.checkpoint()
            log.append("rolled back")

    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(on: str = provided(slow)) -> None:
        await anyio.sleep_forever()

    app = app_of(router)
    async with app.router.lifespan_context(app) as state, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, app, state)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert log == ["rolled back"]


async def ask(app: FastAPI, state: Any) -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None: ...

    scope_ = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [],
        "state": dict(state),
        "root_path": "",
        "scheme": "http",
        "server": ("test", 80),
    }
    await app(scope_, receive, send)


def both(declare: Callable[[APIRouter], None], path: str = "/", **asked: Any) -> list[tuple[int, str]]:
    """What a route answers natively, and compiled."""
    found = []
    for route_class in (APIRoute, CompiledRoute):
        router = APIRouter(route_class=route_class)
        declare(router)
        with TestClient(app_of(router), raise_server_exceptions=False) as client:
            response = client.get(path, **asked)
        found.append((response.status_code, response.text))
    return found


def test_an_endpoint_may_take_the_request_and_the_connection_itself(straight: list[str]) -> None:
    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(asked: Request, connection: HTTPConnection, n: int = provided(number)) -> list[object]:
            return [asked.method, connection.url.path, n]

    assert both(declare) == [(200, '["GET","/",7]')] * 2
    assert straight == ["/"]


def test_a_validator_that_breaks_comes_after_authentication(log: list[str]) -> None:
    def broken(value: str) -> str:
        raise KeyError(value)

    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(q: Annotated[str, AfterValidator(broken)], who: str = provided(refused)) -> None: ...

    assert [status for status, _ in both(declare, params={"q": "x"})] == [401, 401]


def test_a_decorated_endpoint_is_left_to_fastapi(straight: list[str]) -> None:
    def sync_wrapper(endpoint: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(endpoint)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return endpoint(*args, **kwargs)

        return wrapper

    def declare(router: APIRouter) -> None:
        @router.get("/")
        @sync_wrapper
        async def get(n: int = provided(number)) -> int:
            return n

    assert both(declare) == [(200, "7")] * 2
    assert straight == []


def test_without_dependencies_it_needs_no_lifespan() -> None:
    app = FastAPI()
    app.router.route_class = CompiledRoute

    @app.get("/")
    async def get() -> int:
        return 1

    @app.get("/request")
    async def with_request_scoped(of: str = provided(session)) -> str:
        return of

    client = TestClient(app)
    assert [client.get(path).json() for path in ("/", "/request")] == [1, "session"]


def test_an_application_run_again_on_the_same_scope_opens_its_own(log: list[str]) -> None:
    """As a middleware that tries again does."""

    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(of: str = provided(session), on: str = provided(transaction)) -> str:
            return f"{of} {on}"

    for route_class in (APIRoute, CompiledRoute):
        router = APIRouter(route_class=route_class)
        declare(router)
        app = app_of(router)

        async def again(scope: Any, receive: Any, send: Any, app: FastAPI = app) -> None:
            async def nowhere(message: Message) -> None: ...

            if scope["type"] == "http":
                await app(scope, receive, nowhere)
            await app(scope, receive, send)

        log.clear()
        with TestClient(again) as client:
            assert client.get("/").json() == "session transaction"
        assert sorted(log) == sorted(["open session", "begin", "commit", "close session"] * 2)


async def test_a_cancellation_while_one_closes_is_seen_by_the_next() -> None:
    log: list[str] = []

    @scope.function
    async def outer() -> AsyncGenerator[str]:
        try:
            yield "outer"
        except BaseException:
            log.append("outer rolls back")
            raise
        log.append("outer commits")

    @scope.function
    async def inner(of: str = provided(outer)) -> AsyncGenerator[str]:
        yield of
        closing.set()
        await go_on.wait()
        log.append("inner closed")

    closing, go_on = anyio.Event(), anyio.Event()
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(on: str = provided(inner)) -> None: ...

    app = app_of(router)
    async with app.router.lifespan_context(app) as state, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, app, state)
        await closing.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            go_on.set()
    assert log == ["inner closed", "outer rolls back"]
