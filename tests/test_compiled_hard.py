"""Compiled routes at awkward moments: a request that fails before its chain, a cancellation that waits already."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import ContextVar
from typing import Annotated, Any

import anyio
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import AfterValidator
from starlette.types import Message

from heykit import CompiledRoute, lifespan, provided, scope
from heykit.compiled import compiled, uncompiled
from heykit.scope import Provider
from heykit.testing import overridden
from tests.asgi import http_scope

TENANT: ContextVar[str] = ContextVar("tenant", default="none")
VALIDATED: list[str] = []

ROUTES = pytest.mark.parametrize("route_class", [APIRoute, CompiledRoute])


def noted(value: str) -> str:
    VALIDATED.append(value)
    return value


async def who(x: Annotated[str | None, Header()] = None) -> str:
    if x is None:
        raise HTTPException(401)
    TENANT.set("acme")
    return x


async def of_tenant(tenant: Annotated[str, Query(default_factory=TENANT.get)]) -> str:
    return tenant


async def validated(name: Annotated[str, AfterValidator(noted)]) -> str:
    return name


@scope.application
async def number() -> int:
    return 7


def app_of(router: APIRouter, **options: Any) -> FastAPI:
    app = FastAPI(lifespan=lifespan, **options)
    app.include_router(router)
    return app


def asked_by(body: list[Message], sent: list[Message]) -> tuple[dict[str, Any], Any, Any]:
    waiting = [*body]

    async def receive() -> Message:
        if not waiting:
            await anyio.sleep_forever()
        message = waiting.pop(0)
        if isinstance(message.get("raise"), Exception):
            raise message["raise"]
        return message

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    return http_scope(method="POST", headers=headers), receive, send


def with_body(route_class: type[APIRoute], **options: Any) -> FastAPI:
    router = APIRouter(route_class=route_class)

    @router.post("/")
    async def post(body: Annotated[dict[str, bool], Body()], x: str = provided(plain)) -> dict[str, bool]:
        return body

    return app_of(router, **options)


async def plain() -> str:
    return "plain"


@ROUTES
async def test_a_body_that_breaks_off_is_never_taken_for_a_whole_one(route_class: type[APIRoute]) -> None:
    sent: list[Message] = []
    body: list[Message] = [
        {"type": "http.request", "body": b'{"a": true, ', "more_body": True},
        {"raise": TimeoutError("too slow")},
        {"type": "http.request", "body": b'{"admin": true}', "more_body": False},
    ]
    await with_body(route_class)(*asked_by(body, sent))
    assert sent[0]["status"] == 400


@ROUTES
async def test_a_body_above_its_limit_is_answered_at_once(route_class: type[APIRoute]) -> None:
    sent: list[Message] = []
    body: list[Message] = [{"type": "http.request", "body": b'{"a": true, "b": true}', "more_body": False}]
    with anyio.fail_after(5):
        await with_body(route_class, max_body_size=5)(*asked_by(body, sent))
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("plain_class", [APIRoute, CompiledRoute])
def test_a_route_class_that_rewrites_the_path_skips_no_authentication(plain_class: type[APIRoute]) -> None:
    class Rewriting(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            inner = super().get_route_handler()

            async def handler(request: Request) -> Response:
                request.scope["path"] = request.scope["path"].removeprefix("/legacy")
                return await inner(request)

            return handler

    router = APIRouter(route_class=compiled(Rewriting) if plain_class is CompiledRoute else Rewriting)

    @router.get("/x")
    async def get(x: str = provided(plain)) -> str:
        return x

    app = FastAPI()
    app.include_router(router, prefix="/legacy", dependencies=[Depends(who)])
    app.include_router(router)
    with TestClient(app) as client:
        assert [client.get(path).status_code for path in ("/legacy/x", "/x", "/legacy/x")] == [401, 200, 401]


@ROUTES
def test_overrides_of_the_application_that_owns_a_route_count(route_class: type[APIRoute]) -> None:
    inner = FastAPI()
    inner.router.route_class = route_class

    @inner.get("/")
    async def get(x: str = provided(plain)) -> str:
        return x

    outer = FastAPI(routes=inner.routes)
    inner.dependency_overrides[plain] = lambda: "override"
    with TestClient(outer) as client:
        assert client.get("/").json() == "override"


@ROUTES
def test_a_value_that_depends_on_what_was_called_before_is_parsed_after_it(route_class: type[APIRoute]) -> None:
    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(x: str = provided(who), tenant: str = provided(of_tenant)) -> str:
        return tenant

    app = app_of(router)
    with TestClient(app) as client:
        assert client.get("/", headers={"x": "ada"}).json() == "acme"


@ROUTES
def test_a_validator_of_the_users_own_runs_after_authentication_and_once(route_class: type[APIRoute]) -> None:
    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(page: int, x: str = provided(who), name: str = provided(validated)) -> None: ...

    VALIDATED.clear()
    with TestClient(app_of(router)) as client:
        assert client.get("/", params={"name": "a", "page": 1}).status_code == 401
        assert VALIDATED == []
        assert client.get("/", params={"name": "a", "page": "x"}, headers={"x": "ada"}).status_code == 422
        assert VALIDATED == ["a"]


def test_such_a_route_is_named() -> None:
    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(name: str = provided(validated)) -> None: ...

    assert uncompiled(app_of(router)) == {"/": "FastAPI must resolve validated, whose name is validated by code"}


@ROUTES
def test_without_a_lifespan_what_comes_first_still_comes_first(route_class: type[APIRoute]) -> None:
    router = APIRouter(route_class=route_class)

    @router.get("/")
    async def get(x: str = provided(who), n: int = provided(number)) -> None: ...

    assert TestClient(app_of(router)).get("/").status_code == 401


@ROUTES
def test_the_names_and_annotations_of_an_endpoint_are_its_own_affair(route_class: type[APIRoute]) -> None:
    router = APIRouter(route_class=route_class)

    @router.get("/func")
    def sync(func: int, x: str = provided(plain)) -> list[object]:
        return [func, x]

    @router.get("/request")
    async def with_request(asked: Annotated[Request, "as documented"], x: str = provided(plain)) -> list[str]:
        return [asked.url.path, x]

    with TestClient(app_of(router)) as client:
        assert client.get("/func?func=1").json() == [1, "plain"]
        assert client.get("/request").json() == ["/request", "plain"]


def test_the_compiled_form_of_fastapis_own_route_is_there() -> None:
    assert compiled(APIRoute) is CompiledRoute


def test_a_route_with_an_annotation_nobody_can_evaluate_is_named_too() -> None:
    async def local() -> int:
        return 1

    router = APIRouter(route_class=CompiledRoute)

    @router.get("/")
    async def get(known_here: Annotated[int, Depends(local)], x: str = provided(plain)) -> None: ...

    assert uncompiled(app_of(router)) == {"/": "FastAPI must resolve get, whose known_here is validated by code"}


Declare = Callable[[Callable[..., AsyncGenerator[str]]], Provider[str]]


@ROUTES
@pytest.mark.parametrize("ours", [True, False])
async def test_a_cancellation_that_waits_already_does_not_reach_what_cleans_up(
    route_class: type[APIRoute], ours: bool
) -> None:
    """It came in the same turn of the loop as what the endpoint waited for; the clean-up looks for cancellations."""
    log: list[str] = []
    lock = anyio.Lock()

    async def cleans_up() -> AsyncGenerator[str]:
        yield "value"
        async with lock:
            log.append("cleaned up")

    named: Any = scope.request(cleans_up) if ours else cleans_up
    router = APIRouter(route_class=route_class)
    reply = asyncio.get_running_loop().create_future()

    @router.post("/")
    async def post(x: str = provided(named)) -> str:
        await reply
        return x

    sent: list[Message] = []
    with anyio.fail_after(5):
        with anyio.CancelScope() as request:

            def both() -> None:
                reply.set_result(None)
                request.cancel()

            asyncio.get_running_loop().call_later(0.01, both)
            await app_of(router)(*asked_by([], sent))
    assert request.cancelled_caught
    assert log == ["cleaned up"]


@ROUTES
async def test_what_closes_after_another_sees_a_cancellation_that_waits_already(route_class: type[APIRoute]) -> None:
    log: list[str] = []

    async def outer() -> AsyncGenerator[str]:
        try:
            yield "outer"
        except BaseException as error:
            log.append(f"outer {type(error).__name__}")
            raise
        log.append("outer commits")

    async def inner(of: Annotated[str, Body()] = "") -> AsyncGenerator[str]:
        yield of
        log.append("inner closes")

    early = functools.partial(Depends, scope="function")
    first, second = early(outer), early(inner)
    router = APIRouter(route_class=route_class)
    request = anyio.CancelScope()

    @router.post("/")
    async def post(a: str = first, b: str = second) -> str:
        request.cancel()
        return a

    sent: list[Message] = []
    with request:
        await app_of(router)(*asked_by([{"type": "http.request", "body": b"", "more_body": False}], sent))
    assert log == ["inner closes", "outer CancelledError"]


@ROUTES
async def test_what_is_opened_in_two_places_closes_as_if_in_one(route_class: type[APIRoute]) -> None:
    log: list[str] = []

    @scope.function
    async def transaction(x: Annotated[str, Header()] = "") -> AsyncGenerator[str]:
        try:
            yield x
        except BaseException as error:
            log.append(f"rolls back: {type(error).__name__}")
            raise
        log.append("commits")

    router = APIRouter(route_class=route_class, dependencies=[Depends(transaction)])
    request = anyio.CancelScope()

    @router.post("/")
    async def post(of: str = provided(transaction)) -> str:
        request.cancel()
        return of

    sent: list[Message] = []
    with request:
        await app_of(router)(*asked_by([], sent))
    assert log == ["commits"]


@ROUTES
async def test_a_fake_that_closes_nothing_ends_as_a_plain_function_does(route_class: type[APIRoute]) -> None:
    @scope.request
    async def user() -> AsyncGenerator[str]:
        yield "real"

    async def fake() -> str:
        return "fake"

    router = APIRouter(route_class=route_class)
    request = anyio.CancelScope()

    @router.post("/")
    async def post(who: str = provided(user)) -> str:
        request.cancel()
        return who

    sent: list[Message] = []
    with overridden(app := app_of(router), {user: fake}), request:
        await app(*asked_by([], sent))
    assert not request.cancelled_caught  # nobody looks for it any more: the response has left
    assert [message.get("body") for message in sent] == [None, b'"fake"']
