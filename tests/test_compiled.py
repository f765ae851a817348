"""A compiled route: FastAPI's behaviour without FastAPI's walk."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.exceptions import ResponseValidationError
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient
from pydantic import AfterValidator
from starlette.types import Message

from heykit import CompiledRoute, lifespan, provided, scope
from heykit._straight import Straight
from heykit.compiled import compiled, uncompiled
from tests.asgi import http_scope

LOG: list[str] = []


@pytest.fixture
def log() -> list[str]:
    LOG.clear()
    return LOG


@pytest.fixture
def straight(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The endpoints that compiled routes resolved by themselves."""
    found: list[str] = []
    run = Straight.run

    async def watched(self: Straight, request: Request, *others: Any) -> None:
        found.append(request.url.path)
        await run(self, request, *others)

    monkeypatch.setattr(Straight, "run", watched)
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


def test_a_sync_endpoint_is_left_to_fastapi_with_its_thread(straight: list[str]) -> None:
    import threading

    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    def get(n: int = provided(number)) -> bool:
        return threading.current_thread() is not threading.main_thread()

    with TestClient(app_of(router)) as client:
        assert client.get("/").json() is True
    assert straight == []


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

    @router.get("/limited")
    async def limited(x: Annotated[str, Depends(lambda: "limited", max_concurrency=1)]) -> str:
        return x

    @router.get("/stream")
    async def stream(n: int = provided(number)) -> AsyncGenerator[int]:
        yield n

    with TestClient(app_of(router)) as client:
        assert client.get("/limited").json() == "limited"
        assert client.get("/stream").text.strip() == "7"
    assert straight == []


class Paged:
    def __init__(self, limit: int = 10, cursor: str | None = None) -> None:
        self.limit = limit
        self.cursor = cursor


def test_it_resolves_what_parses_the_request_and_what_is_fastapis_own(straight: list[str]) -> None:
    """The form of a dependency, and where it takes its parameters from, make no difference."""
    bearer = OAuth2PasswordBearer("token")

    def sync(x: Annotated[str, Header()]) -> str:
        return f"sync {x}"

    def sync_generator() -> Generator[str]:
        yield "sync generator"

    async def page(of: Annotated[Paged, Depends()]) -> int:
        return of.limit

    def declare(router: APIRouter) -> None:
        @router.post("/{id}")
        async def post(  # noqa: PLR0917 - one of each
            id: int,
            body: Annotated[str, Body(embed=True)],
            a: str = provided(with_header),
            b: str = provided(sync),
            c: str = provided(sync_generator),
            d: int = provided(page),
            token: str | None = provided(bearer),
            n: int = provided(number),
        ) -> list[object]:
            return [id, body, a, b, c, d, token, n]

    headers = {"x": "h", "authorization": "Bearer secret"}
    answers = both(declare, "/3?limit=5", method="POST", headers=headers, json={"body": "text"})
    assert answers == [(200, '[3,"text","h","sync h","sync generator",5,"secret",7]')] * 2
    assert straight == ["/3"]


def test_what_it_parses_may_stand_beneath_at_any_depth_and_in_a_body_of_several_parts(straight: list[str]) -> None:
    async def first(a: Annotated[int, Body()]) -> int:
        return a

    @scope.request
    async def second(b: Annotated[int, Body()], a: int = provided(first)) -> int:
        return 10 * a + b

    def declare(router: APIRouter) -> None:
        @router.post("/")
        async def post(both: int = provided(second), a: int = provided(first)) -> list[int]:
            return [both, a]

    assert both(declare, method="POST", json={"a": 1, "b": 2}) == [(200, "[12,1]")] * 2
    wrong, also_wrong = both(declare, method="POST", json={"a": "x", "b": "y"})
    assert wrong == also_wrong
    assert wrong[0] == 422
    assert straight == ["/"]


def test_a_dependency_may_set_headers_and_add_background_tasks(straight: list[str], log: list[str]) -> None:
    async def stamped(response: Response, tasks: BackgroundTasks) -> None:
        response.headers["stamp"] = "1"
        response.status_code = 202
        tasks.add_task(LOG.append, "task of the dependency")

    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(tasks: BackgroundTasks, of: str = provided(session), _: None = provided(stamped)) -> str:
        tasks.add_task(LOG.append, "task of the endpoint")
        return of

    with TestClient(app_of(router)) as client:
        response = client.get("/")
    assert (response.status_code, response.headers["stamp"]) == (202, "1")
    assert log == ["open session", "task of the dependency", "task of the endpoint", "close session"]
    assert straight == ["/"]


def test_each_place_is_given_the_scopes_that_are_asked_there(straight: list[str]) -> None:
    async def asked(scopes: SecurityScopes) -> list[str]:
        return scopes.scopes

    inner: list[str] = Security(asked, scopes=["inner"])

    async def between(of: list[str] = inner) -> list[str]:
        return of

    outer: list[str] = Security(between, scopes=["outer"])
    only: list[str] = Security(asked, scopes=["only"])

    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(
            a: list[str] = outer, b: list[str] = only, c: list[str] = provided(asked), n: int = provided(number)
        ) -> list[list[str]]:
            return [a, b, c]

    assert both(declare) == [(200, '[["outer","inner"],["only"],[]]')] * 2
    assert straight == ["/"]


def test_what_is_not_to_be_cached_is_called_in_each_place(straight: list[str]) -> None:
    calls: list[str] = []

    async def counted() -> int:
        calls.append("call")
        return len(calls)

    async def once(n: int = provided(counted)) -> int:
        return n

    async def again(n: int = Depends(counted, use_cache=False)) -> int:
        return n

    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(
            a: int = provided(once), b: int = provided(again), c: int = provided(again), d: int = provided(counted)
        ) -> list[int]:
            return [a, b, c, d, len(calls)]

    first, second = both(declare)
    assert first == (200, "[1,2,2,1,3]")
    assert second == (200, "[4,5,5,4,6]")
    assert straight == ["/"]


def test_the_same_function_in_two_scopes_is_opened_in_each(straight: list[str], log: list[str]) -> None:
    async def opened() -> AsyncGenerator[int]:
        LOG.append("open")
        yield len(LOG)
        LOG.append("close")

    def declare(router: APIRouter) -> None:
        @router.get("/")
        async def get(
            tasks: BackgroundTasks,
            a: int = Depends(opened, scope="function"),  # noqa: FAST002 - a local name
            b: int = provided(opened),
        ) -> list[int]:
            tasks.add_task(LOG.append, "sent")
            return [a, b]

    both(declare)
    assert log == ["open", "open", "close", "sent", "close"] * 2
    assert straight == ["/"]


def test_an_error_of_the_response_names_the_endpoint_of_the_user() -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/", response_model=int)
    async def get(n: int = provided(number)) -> str:
        return "no number"

    with TestClient(app_of(router)) as client, pytest.raises(ResponseValidationError) as caught:
        client.get("/")
    assert caught.value.endpoint_file == __file__
    assert "heykit/compiled.py" not in str(caught.value)


def test_what_is_left_to_fastapi_is_told_with_its_reason() -> None:
    router = APIRouter(route_class=CompiledRoute)
    twice = APIRouter(route_class=CompiledRoute)

    @router.get("/compiled")
    async def of_number(n: int = provided(number)) -> None: ...

    @router.get("/parsed")
    async def parsed(x: str = provided(with_header)) -> None: ...

    @router.get("/limited")
    async def of_limited(x: Annotated[str, Depends(lambda: "limited", max_concurrency=1)]) -> None: ...

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
        "/limited": "FastAPI must resolve <lambda>, which has max_concurrency=",
        "/stream": "its endpoint is a generator",
        "/nothing": "it has no dependencies",
    }


def test_a_route_included_twice_has_the_dependencies_of_each_way_in(log: list[str], straight: list[str]) -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(n: int = provided(number)) -> int:
        return n

    app = FastAPI(lifespan=lifespan)
    app.include_router(router, prefix="/open")
    app.include_router(router, prefix="/closed", dependencies=[Depends(refused)])
    with TestClient(app) as client:
        for _ in range(2):
            assert [client.get(path).status_code for path in ("/open/", "/closed/")] == [200, 401]
    assert straight == ["/open/", "/closed/"] * 2


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


async def test_a_sync_generator_is_closed_as_fastapi_closes_it_when_the_request_is_cancelled() -> None:
    """In its thread, and not shielded."""
    logs: list[list[str]] = []
    for route_class in (APIRoute, CompiledRoute):
        log: list[str] = []

        def sync(log: list[str] = log) -> Generator[str]:
            try:
                yield "sync"
            finally:
                log.append("sync closed")

        async def breaks() -> AsyncGenerator[str]:
            try:
                yield "breaks"
            finally:
                await anyio.lowlevel.checkpoint()
                raise ValueError("in the middle of a cancellation")

        router = APIRouter(route_class=route_class)

        @router.get("/")
        async def get(a: str = provided(sync), b: str = provided(breaks)) -> None:
            await anyio.sleep_forever()

        app = app_of(router)
        async with app.router.lifespan_context(app) as state, anyio.create_task_group() as tasks:
            tasks.start_soon(ask, app, state)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            log.append("over")
        logs.append(log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("route_class", [APIRoute, CompiledRoute])
async def test_what_is_opened_for_other_scopes_closes_by_itself(route_class: type[APIRoute]) -> None:
    """A cancellation while the one closes reaches the other, as with FastAPI's own functions."""
    logs: list[list[str]] = []
    for ours in (True, False):
        log: list[str] = []
        closing, go_on = anyio.Event(), anyio.Event()

        async def of_scopes(scopes: SecurityScopes) -> AsyncGenerator[str]:
            try:
                yield scopes.scope_str
            except BaseException as error:
                log.append(f"{scopes.scopes} {type(error).__name__}")  # noqa: B023 - it ends within the turn
                raise
            closing.set()  # noqa: B023 - it ends within the turn
            await go_on.wait()  # noqa: B023 - it ends within the turn
            log.append(f"{scopes.scopes} committed")  # noqa: B023 - it ends within the turn

        own: str = provided(scope.function(of_scopes)) if ours else Depends(of_scopes, scope="function")

        async def beneath(of: str = own) -> str:
            return of

        secured: str = Security(beneath, scopes=["asked"])
        router = APIRouter(route_class=route_class)

        @router.get("/")
        async def get(a: str = own, b: str = secured) -> None: ...

        app = app_of(router)
        await cancelled_while(app, closing, go_on)
        logs.append(log)
    assert logs[0] == logs[1] == ["['asked'] committed", "[] CancelledError"]


async def cancelled_while(app: FastAPI, closing: anyio.Event, go_on: anyio.Event) -> None:
    """Ask, and cancel the request while something of it closes."""
    async with app.router.lifespan_context(app) as state, anyio.create_task_group() as tasks:
        tasks.start_soon(ask, app, state)
        await closing.wait()
        tasks.cancel_scope.cancel()
        with anyio.CancelScope(shield=True):
            await anyio.wait_all_tasks_blocked()
            go_on.set()


async def ask(app: FastAPI, state: Any) -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None: ...

    await app(http_scope(state=state), receive, send)


def both(
    declare: Callable[[APIRouter], None], path: str = "/", *, method: str = "GET", **asked: Any
) -> list[tuple[int, str]]:
    """What a route answers natively, and compiled."""
    found = []
    for route_class in (APIRoute, CompiledRoute):
        router = APIRouter(route_class=route_class)
        declare(router)
        with TestClient(app_of(router), raise_server_exceptions=False) as client:
            response = client.request(method, path, **asked)
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
    await cancelled_while(app, closing, go_on)
    assert log == ["inner closed", "outer rolls back"]
