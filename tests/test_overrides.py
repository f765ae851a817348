"""`app.dependency_overrides` at every depth."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated

import pytest
from fastapi import FastAPI, Header
from fastapi.testclient import TestClient

from heykit import lifespan, opened, provided, scope
from heykit.errors import OverrideError, WiringError

CONNECTED: list[str] = []


@pytest.fixture(autouse=True)
def connected() -> list[str]:
    CONNECTED.clear()
    return CONNECTED


@scope.application
async def database() -> str:
    CONNECTED.append("database")
    return "real"


@scope.application
async def repository(on: str = provided(database)) -> str:
    return f"repository on {on}"


@scope.request
async def service(of: str = provided(repository), on: str = provided(database)) -> str:
    return f"service of {of} and {on}"


@scope.request
async def inner() -> str:
    return "inner"


@scope.request
async def outer(below: str = provided(inner)) -> str:
    return f"outer on {below}"


def application() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/database")
    async def of_database(value: str = provided(database)) -> str:
        return value

    @app.get("/service")
    async def of_service(value: str = provided(service)) -> str:
        return value

    @app.get("/outer")
    async def of_outer(value: str = provided(outer)) -> str:
        return value

    return app


def test_an_overridden_database_is_never_connected(connected: list[str]) -> None:
    app = application()
    app.dependency_overrides[database] = lambda: "fake"
    with TestClient(app) as client:
        assert client.get("/service").json() == "service of repository on fake and fake"
        assert client.get("/database").json() == "fake"
    assert connected == []


def test_a_provider_can_stand_in_for_another_and_closes_with_the_application() -> None:
    log: list[str] = []

    @scope.application
    async def fake() -> AsyncGenerator[str]:
        yield "fake"
        log.append("closed")

    app = application()
    app.dependency_overrides[database] = fake
    with TestClient(app) as client:
        assert client.get("/service").json() == "service of repository on fake and fake"
        assert client.get("/database").json() == "fake"
    assert log == ["closed"]


def test_an_override_may_itself_be_provided_with_things(connected: list[str]) -> None:
    async def wrapped(original: str = provided(database)) -> str:
        return f"wrapped {original}"

    app = application()
    app.dependency_overrides[repository] = wrapped
    with TestClient(app) as client:
        assert client.get("/service").json() == "service of wrapped real and real"
    assert connected == ["database"]


def test_an_override_of_what_lives_for_a_request_is_honoured_beneath_others() -> None:
    app = application()
    with TestClient(app) as client:
        assert client.get("/outer").json() == "outer on inner"
        app.dependency_overrides[inner] = lambda: "fake"
        assert client.get("/outer").json() == "outer on fake"
        app.dependency_overrides.clear()
        assert client.get("/outer").json() == "outer on inner"


def test_an_override_that_closes_is_closed_with_the_request_where_the_original_left_nothing_open() -> None:
    log: list[str] = []

    async def closing() -> AsyncGenerator[str]:
        yield "closing"
        log.append("closed")

    app = application()
    app.dependency_overrides[inner] = closing
    with TestClient(app) as client:
        assert client.get("/outer").json() == "outer on closing"
        assert log == ["closed"]


def test_an_override_set_after_the_start_serves_what_is_resolved_per_request() -> None:
    app = application()
    with TestClient(app) as client:
        app.dependency_overrides[database] = lambda: "fake"
        assert client.get("/database").json() == "fake"


def test_half_a_fake_is_refused_by_name() -> None:
    """The open repository was built on the real database."""
    app = application()
    with TestClient(app) as client:
        app.dependency_overrides[database] = lambda: "fake"
        with pytest.raises(OverrideError, match="repository is open and was built on database"):
            client.get("/service")


def test_an_override_that_must_parse_the_request_is_a_fault_beneath_another_provider() -> None:
    async def from_header(x: Annotated[str, Header()]) -> str:
        return x

    app = application()
    app.dependency_overrides[inner] = from_header
    with pytest.raises(WiringError, match="override outer instead"), TestClient(app):
        raise AssertionError("it must not start")


def test_an_override_of_the_route_itself_may_parse_the_request() -> None:
    async def from_header(x: Annotated[str, Header()]) -> str:
        return x

    app = application()
    app.dependency_overrides[outer] = from_header
    with TestClient(app) as client:
        assert client.get("/outer", headers={"x": "header"}).json() == "header"


async def test_opened_takes_overrides_too(connected: list[str]) -> None:
    async with opened(repository, overrides={database: lambda: "fake"}) as value:
        assert value == "repository on fake"
    assert connected == []


def test_the_overrides_of_a_mounted_application_are_honoured(connected: list[str]) -> None:
    mounted = application()
    mounted.dependency_overrides[database] = lambda: "fake"
    app = FastAPI(lifespan=lifespan)
    app.mount("/mounted", mounted)
    with TestClient(app) as client:
        assert client.get("/mounted/service").json() == "service of repository on fake and fake"
    assert connected == []
