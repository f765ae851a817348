"""The application of a case, built of FastAPI's own functions alone or with heykit's providers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import Annotated, Any, cast

import anyio
import anyio.lowlevel
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
)
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes

from heykit import lifespan, scope
from tests.graphs import Asks, Case, Form, Node

Dependency = Callable[..., object]


class Log(list[str]):
    """What happened, in order; and a gate before which things wait until the test has seen them there."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = anyio.Event()
        self.gate = anyio.Event()
        self.gated = False
        self.request: anyio.CancelScope | None = None

    async def pause(self) -> None:
        """Wait for something: the first time, where the case has it so, until the test says so."""
        if self.gated and not self.waiting.is_set():
            self.waiting.set()
            await self.gate.wait()
        else:
            await anyio.lowlevel.checkpoint()


def build(
    case: Case, log: Log, *, native: bool, route_class: type[APIRoute] = APIRoute
) -> tuple[FastAPI, dict[Dependency, Dependency]]:
    """Make the application of a case, and the fakes that stand in for some of its dependencies."""
    made: list[Dependency] = []
    for node in case.nodes:
        made.append(_dependency(node, case.nodes, made, log, native=native))

    def markers(indices: Sequence[int]) -> list[Any]:
        return [_marker(case.nodes[i], made[i], native=native) for i in indices]

    router = APIRouter(dependencies=markers(case.on_router), route_class=route_class)
    router.post("/", response_model=None if case.ends in {"response", "streams"} else int)(
        _endpoint(case, made, log, native=native)
    )
    between = APIRouter()
    between.include_router(router, dependencies=markers(case.on_inner))
    app = FastAPI(lifespan=None if native else lifespan, dependencies=markers(case.on_application))
    app.include_router(between, dependencies=markers(case.on_outer))
    if case.included_again:
        app.include_router(router, prefix="/again")
    fakes = {
        made[override.index]: _fake(case.nodes[override.index], log, generator=override.generator)
        for override in case.overrides
    }
    return app, fakes


def _marker(node: Node, made: Dependency, *, native: bool) -> object:
    early = node.lifetime == "function" and (native or node.plain)
    if node.secured and not early:
        return Security(made, scopes=[node.name], use_cache=node.cached)
    return Depends(made, use_cache=node.cached, scope="function" if early else None)


def _dependency(node: Node, nodes: Sequence[Node], made: Sequence[Dependency], log: Log, *, native: bool) -> Dependency:
    function = _FORMS["generator" if native and node.form == "manager" else node.form](node, log)
    parameters = [
        inspect.Parameter(f"d{i}", inspect.Parameter.KEYWORD_ONLY, default=_marker(nodes[i], made[i], native=native))
        for i in node.needs
    ]
    if node.asks != "nothing":
        parameters.append(inspect.Parameter("leaf", inspect.Parameter.KEYWORD_ONLY, annotation=_LEAVES[node.asks]))
    cast("Any", function).__signature__ = inspect.Signature(parameters)
    cast("Any", function).__name__ = node.name
    if native or node.plain:
        return function
    declare = {"application": scope.application, "request": scope.request, "function": scope.function}[node.lifetime]
    return cast("Dependency", cast("Any", declare)(function))


_LEAVES: dict[Asks, object] = {
    "header": Annotated[int, Header(alias="h")],
    "query": Annotated[int, Query(alias="q")],
    "body": Annotated[int, Body(alias="b", embed=True)],
    "cookie": Annotated[int, Cookie(alias="c")],
    "connection": HTTPConnection,
    "request": Request,
    "response": Response,
    "background": BackgroundTasks,
    "scopes": SecurityScopes,
}


def _shown(value: object) -> object:
    match value:
        case HTTPConnection():
            return value.url.path
        case SecurityScopes():
            return value.scopes
        case Response():
            return "response"
        case BackgroundTasks():
            return "tasks"
        case _:
            return value


def _value(node: Node, values: dict[str, object]) -> str:
    return f"{node.name}({', '.join(f'{k}={_shown(v)}' for k, v in sorted(values.items()))})"


def _before(node: Node, log: Log, values: dict[str, object]) -> str:
    log.append(f"open {_value(node, values)}")
    match values.get("leaf"):
        case Response() as response:
            response.headers.append("x-opened", node.name)
        case BackgroundTasks() as tasks:
            tasks.add_task(log.append, f"task of {node.name}")
        case _:
            pass
    if node.fails == "before":
        raise ValueError(node.name)
    if node.fails == "before_http":
        raise HTTPException(418, node.name)
    return _value(node, values)


@contextmanager
def _around(node: Node, log: Log, values: dict[str, object]) -> Iterator[tuple[str, list[BaseException]]]:
    """Before it yields; what is thrown in there is kept for `_after`."""
    value = _before(node, log, values)
    errors: list[BaseException] = []
    try:
        yield value, errors
    except BaseException as thrown:  # noqa: BLE001 - told to the log, and raised again
        errors.append(thrown)


def _after(node: Node, log: Log, errors: Sequence[BaseException]) -> None:
    error = errors[0] if errors else None
    log.append(f"close {node.name} {type(error).__name__}")
    if node.fails == "after":
        raise ValueError(node.name)
    if error is not None and (node.fails != "swallows" or not isinstance(error, Exception)):
        raise error


def _coroutine(node: Node, log: Log) -> Dependency:
    async def coroutine(**values: object) -> object:
        if node.lifetime == "application":
            return node.name
        return _before(node, log, values)

    return coroutine


def _instance(node: Node, log: Log) -> Dependency:
    class Instance:
        async def __call__(self, **values: object) -> object:
            return _before(node, log, values)

    return Instance()


def _class(node: Node, log: Log) -> Dependency:
    class Made:
        def __init__(self, **values: object) -> None:
            self.value = _before(node, log, values)

        def __str__(self) -> str:
            return self.value

    return Made


def _generator(node: Node, log: Log) -> Dependency:
    async def waiting(**values: object) -> AsyncIterator[object]:
        with _held(node):
            with _around(node, log, values) as (value, errors):
                yield value
            log.append(f"closing {node.name}")
            await log.pause()
            _after(node, log, errors)

    async def at_once(**values: object) -> AsyncIterator[object]:
        with _held(node):
            with _around(node, log, values) as (value, errors):
                yield value
            _after(node, log, errors)

    return waiting if node.pauses else at_once


def _held(node: Node) -> AbstractContextManager[object]:
    return anyio.move_on_after(60) if node.holds else nullcontext()


def _manager(node: Node, log: Log) -> Dependency:
    opened = asynccontextmanager(cast("Callable[..., AsyncIterator[object]]", _generator(node, log)))

    def manager(**values: object) -> object:
        return opened(**values)

    return manager


def _sync(node: Node, log: Log) -> Dependency:
    def sync(**values: object) -> object:
        return _before(node, log, values)

    return sync


def _sync_generator(node: Node, log: Log) -> Dependency:
    def generator(**values: object) -> Iterator[object]:
        with _around(node, log, values) as (value, errors):
            yield value
        _after(node, log, errors)

    return generator


_FORMS: dict[Form, Callable[[Node, Log], Dependency]] = {
    "coroutine": _coroutine,
    "generator": _generator,
    "manager": _manager,
    "sync": _sync,
    "sync_generator": _sync_generator,
    "class": _class,
    "instance": _instance,
}


def _fake(node: Node, log: Log, *, generator: bool) -> Dependency:
    async def fake() -> object:
        if node.lifetime != "application":
            log.append(f"fake {node.name}")
        return f"fake {node.name}"

    async def fake_generator() -> AsyncIterator[object]:
        log.append(f"open fake {node.name}")
        try:
            yield f"fake {node.name}"
        finally:
            log.append(f"close fake {node.name}")

    return fake_generator if generator else fake


def _endpoint(case: Case, made: Sequence[Dependency], log: Log, *, native: bool) -> Dependency:
    async def endpoint(**values: object) -> object:
        if case.cancelled == "endpoint":
            await log.pause()
        if case.cancelled == "pending" and log.request is not None:
            log.request.cancel()  # nothing waits before the closing begins
        return _answer(case, log, values)

    def sync_endpoint(**values: object) -> object:
        return _answer(case, log, values)

    chosen: Dependency = sync_endpoint if case.in_thread else endpoint
    cast("Any", chosen).__signature__ = inspect.Signature(_parameters(case, made, native=native))
    cast("Any", chosen).__name__ = "endpoint"
    return chosen


def _answer(case: Case, log: Log, values: dict[str, object]) -> object:
    log.append(f"endpoint {sorted((name, str(_shown(value))) for name, value in values.items())}")
    if isinstance(tasks := values.get("tasks"), BackgroundTasks):
        tasks.add_task(log.append, "task of the endpoint")
    if case.ends == "http":
        raise HTTPException(409, "endpoint")
    if case.ends == "error":
        raise KeyError("endpoint")
    if case.ends == "response":
        return Response("by hand", status_code=201)
    if case.ends == "streams":
        return StreamingResponse(_chunks(log))
    return "not a number" if case.ends == "invalid" else 42


def _parameters(case: Case, made: Sequence[Dependency], *, native: bool) -> list[inspect.Parameter]:
    parameters = [
        inspect.Parameter(
            f"d{i}", inspect.Parameter.KEYWORD_ONLY, default=_marker(case.nodes[i], made[i], native=native)
        )
        for i in case.on_endpoint
    ]
    own: list[tuple[str, bool, object]] = [
        ("own", case.parses, Annotated[int, Query(alias="o")]),
        ("asked", case.takes_request, Request),
        ("tasks", case.adds_task, BackgroundTasks),
    ]
    return parameters + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
        for name, wanted, annotation in own
        if wanted
    ]


async def _chunks(log: Log) -> AsyncIterator[bytes]:
    for number in range(3):
        log.append(f"chunk {number}")
        yield b"chunk"
