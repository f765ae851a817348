"""Random graphs of dependencies, each built twice: of heykit's providers, and of FastAPI's own functions alone."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from fastapi import APIRouter, Body, Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.requests import HTTPConnection
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from heykit import lifespan, scope

Lifetime = Literal["application", "request", "function"]
Form = Literal["coroutine", "generator", "manager", "sync", "sync_generator"]
Asks = Literal["nothing", "header", "query", "body", "connection", "request"]
Fails = Literal["never", "before", "before_http", "after", "swallows"]
Ends = Literal["returns", "http", "error", "invalid"]


@dataclass(frozen=True)
class Node:
    """One dependency. `plain` ones are FastAPI's own functions in both builds."""

    name: str
    plain: bool
    lifetime: Lifetime
    form: Form
    needs: tuple[int, ...]
    asks: Asks
    fails: Fails

    @property
    def closes(self) -> bool:
        return self.form in {"generator", "manager", "sync_generator"}


@dataclass(frozen=True)
class Case:
    """A graph, where its dependencies are named, how its endpoint ends, and what the client sends."""

    nodes: tuple[Node, ...]
    on_router: tuple[int, ...]
    on_inclusion: tuple[int, ...]
    on_endpoint: tuple[int, ...]
    ends: Ends
    parses: bool  # whether the endpoint has a parameter of its own
    takes_request: bool
    sends_own: bool
    sends_header: bool
    sends_query: bool
    sends_body: bool


@dataclass(frozen=True)
class Outcome:
    status: int
    body: object
    log: tuple[str, ...]


@st.composite
def cases(draw: st.DrawFn, *, most: int = 7, ours: bool = False) -> Case:
    """Draw a case; with `ours`, one of providers alone that parse nothing, which can be compiled."""
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, most))):
        nodes.append(draw(_nodes(index, nodes, ours=ours)))
    some = st.lists(st.integers(0, len(nodes) - 1), max_size=3, unique=True).map(tuple)
    return Case(
        tuple(nodes),
        draw(some),
        draw(some),
        draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=4, unique=True).map(tuple)),
        draw(st.sampled_from(["returns", "returns", "returns", "http", "error", "invalid"])),
        draw(st.booleans()),
        draw(st.booleans()),
        *(draw(st.sampled_from([True, True, True, False])) for _ in range(4)),
    )


@st.composite
def _nodes(draw: st.DrawFn, index: int, earlier: Sequence[Node], *, ours: bool) -> Node:
    plain = not ours and draw(st.sampled_from([False, False, True]))
    lifetime = draw(st.sampled_from(_lifetimes(plain=plain)))
    forms: list[Form] = ["coroutine", "generator", "manager", "sync", "sync_generator"]
    form = draw(st.sampled_from([f for f in forms if plain != (f == "manager") and (plain or "sync" not in f)]))
    if lifetime == "application":
        return Node(f"n{index}", plain, lifetime, "coroutine", (), "nothing", "never")
    wanted = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
    # FastAPI refuses it by name: what closes after the response may not hold what closes before.
    needs = [i for i in wanted if not (_is_held(form, lifetime) and _reaches_function(i, earlier))]
    asks = draw(st.sampled_from(_UNPARSED)) if ours else draw(_ASKS)
    return Node(f"n{index}", plain, lifetime, form, tuple(needs), asks, draw(_FAILS))


_UNPARSED: tuple[Asks, ...] = ("nothing", "connection")
_SELDOM: tuple[Asks, ...] = ("header", "query", "body", "connection", "request")
_ASKS: st.SearchStrategy[Asks] = st.one_of(st.just("nothing"), st.sampled_from(("nothing", *_SELDOM)))
_FAILURES: tuple[Fails, ...] = ("before", "before_http", "after", "swallows")
_FAILS: st.SearchStrategy[Fails] = st.one_of(st.just("never"), st.just("never"), st.sampled_from(("never", *_FAILURES)))


def _lifetimes(*, plain: bool) -> list[Lifetime]:
    return ["request", "function"] if plain else ["application", "request", "request", "function"]


def _is_held(form: Form, lifetime: Lifetime) -> bool:
    return lifetime == "request" and form not in {"coroutine", "sync"}


def _reaches_function(index: int, nodes: Sequence[Node]) -> bool:
    node = nodes[index]
    return node.lifetime == "function" or any(_reaches_function(i, nodes) for i in node.needs)


Dependency = Callable[..., object]


def build(case: Case, log: list[str], *, native: bool, route_class: type[APIRoute] = APIRoute) -> FastAPI:
    """Make the application of a case, of FastAPI's functions alone or with heykit's providers."""
    made: list[Dependency] = []
    for node in case.nodes:
        made.append(_dependency(node, case.nodes, made, log, native=native))

    def markers(indices: Sequence[int]) -> list[Any]:
        return [_marker(case.nodes[i], made[i], native=native) for i in indices]

    router = APIRouter(dependencies=markers(case.on_router), route_class=route_class)
    router.post("/", response_model=int)(_endpoint(case, made, log, native=native))
    app = FastAPI(lifespan=None if native else lifespan)
    app.include_router(router, dependencies=markers(case.on_inclusion))
    return app


def outcome(app: FastAPI, case: Case, log: list[str]) -> Outcome:
    """Ask once, and tell everything that can be seen."""
    with TestClient(app, raise_server_exceptions=False) as client:
        response = client.post(
            "/",
            headers={"h": "1"} if case.sends_header else {},
            params={"q": "2" if case.sends_query else "x", "o": "4" if case.sends_own else "x"},
            json={"b": 3} if case.sends_body else {"b": "not a number"},
        )
    body = response.json() if response.headers.get("content-type") == "application/json" else response.text
    return Outcome(response.status_code, body, tuple(log))


def _marker(node: Node, made: Dependency, *, native: bool) -> object:
    if node.lifetime == "function" and (native or node.plain):
        return Depends(made, scope="function")
    return Depends(made)


def _dependency(
    node: Node, nodes: Sequence[Node], made: Sequence[Dependency], log: list[str], *, native: bool
) -> Dependency:
    function = _FORMS["generator" if native and node.form == "manager" else node.form](node, log)
    parameters = [
        inspect.Parameter(f"d{i}", inspect.Parameter.KEYWORD_ONLY, default=_marker(nodes[i], made[i], native=native))
        for i in node.needs
    ]
    if node.asks != "nothing":
        parameters.append(inspect.Parameter("leaf", inspect.Parameter.KEYWORD_ONLY, annotation=_LEAVES[node.asks]))
    cast("Any", function).__signature__ = inspect.Signature(parameters)
    function.__name__ = node.name
    if native or node.plain:
        return function
    declare = {"application": scope.application, "request": scope.request, "function": scope.function}[node.lifetime]
    return cast("Dependency", cast("Any", declare)(function))


_LEAVES: dict[Asks, object] = {
    "header": Annotated[int, Header(alias="h")],
    "query": Annotated[int, Query(alias="q")],
    "body": Annotated[int, Body(alias="b", embed=True)],
    "connection": HTTPConnection,
    "request": Request,
}


def _value(node: Node, values: dict[str, object]) -> str:
    shown = {k: v.url.path if isinstance(v, HTTPConnection) else v for k, v in values.items()}
    return f"{node.name}({', '.join(f'{k}={v}' for k, v in sorted(shown.items()))})"


def _before(node: Node, log: list[str], values: dict[str, object]) -> str:
    log.append(f"open {_value(node, values)}")
    if node.fails == "before":
        raise ValueError(node.name)
    if node.fails == "before_http":
        raise HTTPException(418, node.name)
    return _value(node, values)


def _after(node: Node, log: list[str], error: BaseException | None) -> None:
    log.append(f"close {node.name} {type(error).__name__}")
    if node.fails == "after":
        raise ValueError(node.name)
    if error is not None and node.fails != "swallows":
        raise error


def _coroutine(node: Node, log: list[str]) -> Dependency:
    async def coroutine(**values: object) -> object:
        if node.lifetime == "application":
            return node.name
        return _before(node, log, values)

    return coroutine


def _generator(node: Node, log: list[str]) -> Dependency:
    async def generator(**values: object) -> AsyncIterator[object]:
        error: BaseException | None = None
        value = _before(node, log, values)
        try:
            yield value
        except BaseException as thrown:  # noqa: BLE001 - told to the log, and raised again
            error = thrown
        _after(node, log, error)

    return generator


def _manager(node: Node, log: list[str]) -> Dependency:
    opened = asynccontextmanager(cast("Callable[..., AsyncIterator[object]]", _generator(node, log)))

    def manager(**values: object) -> object:
        return opened(**values)

    return manager


def _sync(node: Node, log: list[str]) -> Dependency:
    def sync(**values: object) -> object:
        return _before(node, log, values)

    return sync


def _sync_generator(node: Node, log: list[str]) -> Dependency:
    def generator(**values: object) -> Iterator[object]:
        error: BaseException | None = None
        value = _before(node, log, values)
        try:
            yield value
        except BaseException as thrown:  # noqa: BLE001 - told to the log, and raised again
            error = thrown
        _after(node, log, error)

    return generator


_FORMS: dict[Form, Callable[[Node, list[str]], Dependency]] = {
    "coroutine": _coroutine,
    "generator": _generator,
    "manager": _manager,
    "sync": _sync,
    "sync_generator": _sync_generator,
}


def _endpoint(case: Case, made: Sequence[Dependency], log: list[str], *, native: bool) -> Dependency:
    async def endpoint(**values: object) -> object:
        given = {name: "request" if isinstance(value, Request) else value for name, value in values.items()}
        log.append(f"endpoint {sorted(given.items())}")
        if case.ends == "http":
            raise HTTPException(409, "endpoint")
        if case.ends == "error":
            raise KeyError("endpoint")
        return "not a number" if case.ends == "invalid" else 42

    parameters = [
        inspect.Parameter(
            f"d{i}", inspect.Parameter.KEYWORD_ONLY, default=_marker(case.nodes[i], made[i], native=native)
        )
        for i in case.on_endpoint
    ]
    if case.parses:
        own = Annotated[int, Query(alias="o")]
        parameters.append(inspect.Parameter("own", inspect.Parameter.KEYWORD_ONLY, annotation=own))
    if case.takes_request:
        parameters.append(inspect.Parameter("asked", inspect.Parameter.KEYWORD_ONLY, annotation=Request))
    cast("Any", endpoint).__signature__ = inspect.Signature(parameters)
    return endpoint
