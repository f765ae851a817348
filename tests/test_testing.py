"""Fakes that behave like what they stand in for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Annotated

import pytest
from fastapi import FastAPI, Header, Security
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient

from heykit import lifespan, provided, scope
from heykit.errors import WiringError
from heykit.testing import overridden


@scope.application
async def database() -> object:
    raise AssertionError("it must never be connected")


@scope.application
async def repository(on: object = provided(database)) -> object:
    return on


@scope.request
async def session() -> object:
    return object()


@scope.request
async def service(of: object = provided(session)) -> object:
    return of


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(
        one: object = provided(database),
        two: object = provided(repository),
        three: object = provided(session),
        four: object = provided(service),
    ) -> list[bool]:
        return [one is two, three is four]

    return app


def test_a_route_and_what_lies_beneath_see_the_same_object(app: FastAPI) -> None:
    made: list[str] = []

    def fake() -> object:
        made.append("database")
        return object()

    def fake_session() -> object:
        made.append("session")
        return object()

    with overridden(app, {database: fake, session: fake_session}), TestClient(app) as client:
        assert client.get("/").json() == [True, True]
        assert client.get("/").json() == [True, True]
    assert made == ["database", "session", "session"]


def test_a_fake_of_any_form_is_opened_and_closed_like_the_original(app: FastAPI) -> None:
    log: list[str] = []

    async def awaited() -> AsyncGenerator[object]:
        log.append("open database")
        yield object()
        log.append("close database")

    def plain() -> Generator[object]:
        log.append("open session")
        yield object()
        log.append("close session")

    with overridden(app, {database: awaited, session: plain}), TestClient(app) as client:
        assert client.get("/").json() == [True, True]
    assert log == ["open database", "open session", "close session", "close database"]


def test_a_fake_may_be_provided_with_things(app: FastAPI) -> None:
    async def fake(of: object = provided(session)) -> object:
        return of

    async def real() -> object:
        return object()

    with overridden(app, {service: fake, database: real}), TestClient(app) as client:
        assert client.get("/").json() == [True, True]


def test_a_fake_that_must_parse_the_request_is_a_fault_where_nothing_can_be_parsed(app: FastAPI) -> None:
    async def fake(x: Annotated[str, Header()]) -> object:
        return x

    with (
        overridden(app, {session: fake, database: object}),
        pytest.raises(WiringError, match="override service instead"),
        TestClient(app),
    ):
        raise AssertionError("it must not start")


def test_what_was_overridden_before_is_so_again_afterwards(app: FastAPI) -> None:
    before = app.dependency_overrides[session] = object
    with overridden(app, {session: list[int]}):
        assert app.dependency_overrides[session] is not before
    assert app.dependency_overrides == {session: before}


def test_a_fake_is_one_object_though_the_original_is_called_for_each_set_of_scopes() -> None:
    app = FastAPI(lifespan=lifespan)
    made: list[str] = []

    @scope.request
    async def asked(scopes: SecurityScopes) -> object:
        made.append(f"original {scopes.scopes}")
        return object()

    def beneath(of: object = provided(asked)) -> object:
        return of

    of_scope: object = Security(beneath, scopes=["read"])

    @app.get("/")
    async def get(one: object = provided(asked), two: object = of_scope) -> bool:
        return one is two

    def fake() -> object:
        made.append("fake")
        return object()

    with TestClient(app) as client:
        assert client.get("/").json() is False
    with overridden(app, {asked: fake}), TestClient(app) as client:
        assert client.get("/").json() is True
    assert made == ["original []", "original ['read']", "fake"]
