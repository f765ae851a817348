"""What lives for one request: `scope.request` closes after the response, `scope.function` before it leaves."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Literal

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Header, HTTPException, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from heykit import lifespan, provided, scope
from heykit.scope import Provider

LOG: list[str] = []


@pytest.fixture
def log() -> list[str]:
    """The log of this module's providers, emptied."""
    LOG.clear()
    return LOG


@scope.application
async def database() -> str:
    return "database"


@scope.function
async def transaction(below: str = provided(database)) -> AsyncGenerator[str]:
    LOG.append("begin")
    try:
        yield f"transaction on {below}"
    except BaseException as error:
        LOG.append(f"rollback {type(error).__name__}")
        raise
    LOG.append("commit")


@scope.request
async def videos(on: str = provided(transaction)) -> str:
    return f"videos in {on}"


@scope.request
async def session() -> AsyncGenerator[str]:
    LOG.append("open session")
    yield "session"
    LOG.append("close session")


@scope.request
async def user(name: Annotated[str, Header()], on: str = provided(transaction)) -> str:
    """Needs a header, so FastAPI sees its own parameters."""
    return f"{name} in {on}"


@scope.request
async def session_and_transaction(one: str = provided(session), other: str = provided(transaction)) -> str:
    return f"{one}, {other}"


async def plain_check(on: str = provided(transaction)) -> str:
    """A FastAPI function of one's own."""
    return f"checked in {on}"


def served(log: list[str], endpoint: Callable[..., object], *dependencies: Provider[str]) -> FastAPI:
    """An application of one route that tells when its response starts and ends."""
    app = FastAPI(lifespan=lifespan, dependencies=[Depends(provider) for provider in dependencies])
    app.post("/")(endpoint)

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                log.append(f"response {message['status']}")
            if message["type"] == "http.response.body" and not message.get("more_body"):
                log.append("sent")
            await send(message)

        await app(scope, receive, tell)

    outer = FastAPI(lifespan=lambda _: lifespan(app))
    outer.mount("/", telling)
    return outer


def ask(app: FastAPI, **headers: str) -> object:
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post("/", headers=headers)
    return response.json() if response.headers.get("content-type") == "application/json" else response.text


def test_a_transaction_commits_once_before_the_response_starts(log: list[str]) -> None:
    async def endpoint(on: str = provided(transaction)) -> str:
        return on

    assert ask(served(log, endpoint)) == "transaction on database"
    assert log == ["begin", "commit", "response 200", "sent"]


def test_what_lives_as_long_as_the_request_closes_after_the_response_is_sent(log: list[str]) -> None:
    async def endpoint(on: str = provided(session)) -> str:
        return on

    ask(served(log, endpoint))
    assert log == ["open session", "response 200", "sent", "close session"]


def test_a_transaction_rolls_back_on_an_http_exception(log: list[str]) -> None:
    async def endpoint(on: str = provided(videos)) -> str:
        raise HTTPException(404)

    ask(served(log, endpoint))
    assert log == ["begin", "rollback HTTPException", "response 404", "sent"]


def test_a_transaction_rolls_back_on_an_error(log: list[str]) -> None:
    async def endpoint(on: str = provided(transaction)) -> str:
        raise ValueError

    ask(served(log, endpoint))
    assert log[:2] == ["begin", "rollback ValueError"]


def test_it_is_one_transaction_however_it_is_reached(log: list[str]) -> None:
    """From the application's dependencies, the endpoint, a leaf, a provider with a header, a plain function."""

    async def endpoint(
        direct: str = provided(transaction),
        beneath: str = provided(videos),
        parsed: str = provided(user),
        mixed: str = provided(session_and_transaction),
        plain: str = provided(plain_check),
    ) -> list[str]:
        return [direct, beneath, parsed, mixed, plain]

    assert ask(served(log, endpoint, transaction, videos), name="me") == [
        "transaction on database",
        "videos in transaction on database",
        "me in transaction on database",
        "session, transaction on database",
        "checked in transaction on database",
    ]
    assert log == ["begin", "open session", "commit", "response 200", "sent", "close session"]


def test_background_tasks_run_after_the_commit_and_before_the_session_closes(log: list[str]) -> None:
    async def endpoint(tasks: BackgroundTasks, on: str = provided(transaction), below: str = provided(session)) -> None:
        tasks.add_task(log.append, "background task")

    ask(served(log, endpoint))
    assert log == ["begin", "open session", "commit", "response 200", "sent", "background task", "close session"]


def test_a_stream_has_the_session_open_until_its_last_byte(log: list[str]) -> None:
    async def endpoint(on: str = provided(session)) -> StreamingResponse:
        async def body() -> AsyncGenerator[bytes]:
            yield b"1"
            log.append("streaming")
            yield b"2"

        return StreamingResponse(body())

    assert ask(served(log, endpoint)) == "12"
    assert log == ["open session", "response 200", "streaming", "sent", "close session"]


def test_a_websocket_has_its_own_instances(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan)

    @app.websocket("/")
    async def socket(websocket: WebSocket, one: str = provided(session), two: str = provided(videos)) -> None:
        await websocket.accept()
        await websocket.send_text(f"{one} {two}")
        await websocket.close()

    with TestClient(app) as client, client.websocket_connect("/") as websocket:
        assert websocket.receive_text() == "session videos in transaction on database"
    assert log == ["open session", "begin", "commit", "close session"]


def test_each_request_has_an_instance_of_its_own() -> None:
    made: list[object] = []

    @scope.request
    async def fresh() -> object:
        made.append(object())
        return made[-1]

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(one: object = provided(fresh), two: object = provided(fresh)) -> bool:
        return one is two

    with TestClient(app) as client:
        assert [client.get("/").json(), client.get("/").json()] == [True, True]
    assert len(made) == 2


def test_a_path_parameter_may_have_the_name_of_our_own() -> None:
    @scope.request
    async def path(connection: HTTPConnection) -> str:
        return connection.url.path

    app = FastAPI(lifespan=lifespan)

    @app.get("/{connection}/{heykit_function_stack}")
    async def get(
        connection: str, heykit_function_stack: str, below: str = provided(path), on: str = provided(transaction)
    ) -> list[str]:
        return [connection, heykit_function_stack, below, on]

    with TestClient(app) as client:
        assert client.get("/a/b").json() == ["a", "b", "/a/b", "transaction on database"]


def test_what_heykit_resolves_adds_nothing_to_openapi() -> None:
    app = FastAPI(lifespan=lifespan)

    @app.get("/ours")
    async def ours(one: str = provided(session_and_transaction)) -> None: ...

    assert "parameters" not in app.openapi()["paths"]["/ours"]["get"]


def test_what_a_provider_parses_is_in_openapi() -> None:
    app = FastAPI(lifespan=lifespan)

    @app.get("/ours")
    async def ours(one: str = provided(user)) -> None: ...

    (parameter,) = app.openapi()["paths"]["/ours"]["get"]["parameters"]
    assert (parameter["name"], parameter["in"]) == ("name", "header")


def test_a_wide_graph_is_declared_at_once() -> None:
    """Forty layers in which everything needs everything below: 2^40 paths, walked as 40 nodes."""

    def layer(below: tuple[Provider[int], ...]) -> Provider[int]:
        async def factory(**values: int) -> int:
            return 1 + max(values.values(), default=0)

        import inspect

        parameters = [
            inspect.Parameter(f"p{i}", inspect.Parameter.KEYWORD_ONLY, default=provided(provider))
            for i, provider in enumerate(below)
        ]
        factory.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return scope.request(factory)

    layers: tuple[Provider[int], ...] = ()
    for _ in range(40):
        layers = (*layers, layer(layers))
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def depth(value: int = provided(layers[-1])) -> int:
        return value

    with TestClient(app) as client:
        assert client.get("/").json() == 40


@pytest.mark.parametrize("kind", ["request", "function"])
def test_a_factory_that_is_none_of_the_three_forms_says_so(kind: Literal["request", "function"]) -> None:
    def neither() -> int:
        return 1

    provider = getattr(scope, kind)(neither)
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: int = provided(provider)) -> int:
        return value

    with TestClient(app) as client, pytest.raises(TypeError, match="neither returned int: a factory is a coroutine"):
        client.get("/")


def test_of_a_chain_that_fails_half_way_what_is_open_closes_with_the_request(log: list[str]) -> None:
    """After the transaction, as FastAPI would: it was opened with a longer life."""

    @scope.request
    async def failing(on: str = provided(session)) -> AsyncGenerator[str]:
        raise ValueError("failed half-way")
        yield on

    async def endpoint(first: str = provided(transaction), second: str = provided(failing)) -> None: ...

    ask(served(log, endpoint))
    assert log[:3] == ["begin", "open session", "rollback ValueError"]


@pytest.mark.parametrize("provider", [session, transaction, session_and_transaction])
def test_a_plain_generator_that_holds_a_scope_may_come_before(provider: Provider[str]) -> None:
    """Its scope is left first, with the function; ours must not have been entered within it."""

    async def limit() -> AsyncGenerator[None]:
        with anyio.fail_after(5):
            yield

    app = FastAPI(lifespan=lifespan)

    async def get(first: None, on: str = provided(provider)) -> bool:
        return bool(on)

    get.__annotations__["first"] = Annotated[None, Depends(limit, scope="function")]
    app.get("/")(get)
    with TestClient(app) as client:
        assert client.get("/").json() is True
