"""What is kept by key: one instance per tenant, per user session."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import BackgroundTasks, FastAPI, Header, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit import CompiledRoute, lifespan, provided, request_scope, scope
from heykit._life import Limits
from heykit._pool import Entry, Pool, close_pools
from heykit.errors import NoKey, OverrideError, Unavailable, WiringError
from heykit.lifetime import end
from heykit.web import problems
from tests.asgi import http_scope

LOG: list[str] = []


@pytest.fixture(autouse=True)
def log() -> list[str]:
    LOG.clear()
    return LOG


@asynccontextmanager
async def logged(name: str) -> AsyncGenerator[str]:
    LOG.append(f"open {name}")
    try:
        yield name
    finally:
        LOG.append(f"close {name}")


@scope.application
async def settings_() -> str:
    return "settings"


async def tenant(x_tenant: Annotated[str, Header()] = "nobody") -> str:
    """A plain function of FastAPI that takes a header."""
    return x_tenant


@scope.keyed(by=tenant)
def tenant_pool(name: str = provided(tenant), of: str = provided(settings_)) -> AbstractAsyncContextManager[str]:
    return logged(f"pool of {name} with {of}")


@scope.keyed(by=tenant)
async def tenant_repository(on: str = provided(tenant_pool)) -> AsyncGenerator[str]:
    async with logged(f"repository on {on}") as value:
        yield value


@scope.request
async def path(connection: HTTPConnection) -> str:
    """A key that heykit resolves by itself."""
    return connection.url.path


@scope.session(by=path)
def cart(of: str = provided(path)) -> AbstractAsyncContextManager[str]:
    return logged(f"cart of {of}")


@scope.request
async def checkout(of: str = provided(cart)) -> str:
    return f"checkout of {of}"


def application() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.get("/tenant")
    async def of_tenant(pool: str = provided(tenant_pool), again: str = provided(tenant_pool)) -> bool:
        return pool is again

    @app.get("/repository")
    async def of_repository(value: str = provided(tenant_repository)) -> str:
        return value

    @app.get("/cart/{name}")
    async def of_cart(name: str, value: str = provided(checkout)) -> str:
        LOG.append("endpoint")
        return value

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, value: str = provided(cart)) -> None:
        await websocket.accept()
        await websocket.send_text(value)
        await websocket.close()

    return app


def test_a_tenants_pool_is_one_for_all_requests_of_the_tenant(log: list[str]) -> None:
    with TestClient(application()) as client:
        for name in ("a", "b", "a"):
            assert client.get("/tenant", headers={"x-tenant": name}).json() is True
        assert log == ["open pool of a with settings", "open pool of b with settings"]
    assert sorted(log[2:]) == ["close pool of a with settings", "close pool of b with settings"]


def test_what_is_kept_by_the_same_key_may_hold_one_another(log: list[str]) -> None:
    with TestClient(application()) as client:
        for _ in range(2):
            answer = client.get("/repository", headers={"x-tenant": "a"})
            assert answer.json() == "repository on pool of a with settings"
    assert log == [
        "open pool of a with settings",
        "open repository on pool of a with settings",
        "close repository on pool of a with settings",
        "close pool of a with settings",
    ]


def test_a_session_beneath_a_request_is_resolved_by_heykit(log: list[str]) -> None:
    with TestClient(application()) as client:
        assert client.get("/cart/1").json() == "checkout of cart of /cart/1"
        assert client.get("/cart/1").json() == "checkout of cart of /cart/1"
        with client.websocket_connect("/socket") as websocket:
            assert websocket.receive_text() == "cart of /socket"
    assert log[:4] == ["open cart of /cart/1", "endpoint", "endpoint", "open cart of /socket"]


def test_a_compiled_route_holds_it_too(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan)
    app.router.route_class = CompiledRoute

    @app.get("/{name}")
    async def get(name: str, value: str = provided(checkout)) -> str:
        return value

    with TestClient(app) as client:
        assert [client.get("/1").json() for _ in range(2)] == ["checkout of cart of /1"] * 2
    assert log == ["open cart of /1", "close cart of /1"]


def test_no_key_is_answered_by_401_for_a_session_and_400_for_another() -> None:
    async def nobody() -> None:
        return None

    @scope.session(by=nobody)
    async def of_session() -> str:
        raise AssertionError("never opened")

    @scope.keyed(by=nobody)
    async def of_key() -> str:
        raise AssertionError("never opened")

    app = FastAPI(lifespan=lifespan)
    problems(app)

    @app.get("/session")
    async def session(value: str = provided(of_session)) -> None: ...

    @app.get("/key")
    async def key(value: str = provided(of_key)) -> None: ...

    with TestClient(app) as client:
        answers = [client.get(path) for path in ("/session", "/key")]
    assert [answer.status_code for answer in answers] == [401, 400]
    assert "nobody gave None" in answers[0].json()["detail"]


def test_a_key_that_cannot_be_one_is_told() -> None:
    async def unhashable() -> list[int]:
        return [1]

    @scope.keyed(by=unhashable)
    async def of_key() -> str:
        raise AssertionError("never opened")

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: str = provided(of_key)) -> None: ...

    with TestClient(app) as client, pytest.raises(NoKey, match="unhashable gave a list, which is not hashable"):
        client.get("/")


async def test_a_revoked_session_ends_at_once_or_with_the_request_that_holds_it(log: list[str]) -> None:
    app = application()
    async with app.router.lifespan_context(app), anyio.create_task_group() as requests:
        held, release = anyio.Event(), anyio.Event()

        async def request() -> None:
            async with request_scope(connection_of(app, "/1")) as get:
                LOG.append(f"got {await get(cart)}")
                held.set()
                await release.wait()
                LOG.append("request ends")

        requests.start_soon(request)
        await held.wait()
        await end(app, path, "/1")
        assert "close cart of /1" not in log
        async with request_scope(connection_of(app, "/2")) as get:
            assert await get(cart) == "cart of /2"
        await end(app, path, "/2")
        assert log[-1] == "close cart of /2"
        await end(app, path, "no such session")
        release.set()
    assert log.index("request ends") < log.index("close cart of /1")


def connection_of(app: FastAPI, path: str) -> HTTPConnection:
    return HTTPConnection({**http_scope(path), "app": app})


async def test_ten_thousand_first_uses_of_a_key_open_it_once(log: list[str]) -> None:
    app = application()

    async def use() -> None:
        async with request_scope(connection_of(app, "/1")) as get:
            await get(cart)

    async with app.router.lifespan_context(app), anyio.create_task_group() as users:
        for _ in range(10_000):
            users.start_soon(use)
    assert log == ["open cart of /1", "close cart of /1"]


def test_a_tenant_scope_is_two_lines(log: list[str]) -> None:
    per_tenant = scope.keyed(by=tenant, idle=60)

    @per_tenant
    async def numbers(of: str = provided(tenant)) -> list[str]:
        return [of]

    app = FastAPI(lifespan=lifespan)

    @app.post("/")
    async def add(kept: list[str] = provided(numbers)) -> list[str]:
        kept.append("seen")
        return kept

    with TestClient(app) as client:
        assert client.post("/", headers={"x-tenant": "a"}).json() == ["a", "seen"]
        assert client.post("/", headers={"x-tenant": "a"}).json() == ["a", "seen", "seen"]
        assert client.post("/", headers={"x-tenant": "b"}).json() == ["b", "seen"]


def test_background_tasks_still_hold_it(log: list[str]) -> None:
    app = FastAPI(lifespan=lifespan)

    @scope.keyed(by=path, idle=0)
    def short() -> AbstractAsyncContextManager[str]:
        return logged("short")

    @app.get("/")
    async def get(tasks: BackgroundTasks, value: str = provided(short)) -> None:
        tasks.add_task(LOG.append, "background")

    with TestClient(app) as client:
        client.get("/")
    assert log == ["open short", "background", "close short"]


@pytest.mark.parametrize("lifetime", ["application", "singleton"])
def test_what_lives_longer_may_not_hold_it(lifetime: str) -> None:
    declare: Any = getattr(scope, lifetime)

    async def captor(of: str = provided(cart)) -> str:
        return of

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: str = provided(declare(captor))) -> None: ...

    with pytest.raises(WiringError, match="would hold cart, which lives for one session"), TestClient(app):
        raise AssertionError("it must not start")


def test_what_is_kept_may_not_hold_a_request_nor_what_another_key_keeps() -> None:
    @scope.request
    async def of_request() -> str:
        return "request"

    @scope.keyed(by=tenant)
    async def captor(of: str = provided(of_request), other: str = provided(cart)) -> str:
        return of + other

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def get(value: str = provided(captor)) -> None: ...

    with pytest.raises(WiringError) as caught, TestClient(app):
        raise AssertionError("it must not start")
    told = [fault.message for fault in caught.value.faults]
    assert any("captor lives as long as one" in message and "of_request" in message for message in told)
    assert any("captor is kept by tenant and would hold cart, which is kept by path" in message for message in told)


@pytest.mark.parametrize("wrong", [{"idle": -1.0}, {"limit": 0}, {"idle": float("nan")}])
def test_limits_that_cannot_be_kept_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="idle= is 0 seconds or more"):
        scope.keyed(by=tenant, **wrong)


LIMITS = Limits(5, 5, 5)


def void(_: object) -> None:
    """Nothing of it is needed."""


class World:
    """A pool whose instances say when they open and close."""

    def __init__(self, tasks: Any, *, idle: float, limit: float) -> None:
        self.open: dict[str, int] = {}
        self.most = 0
        self.pool = Pool("things", lambda own: void(tasks.start_soon(own)), idle=idle, limit=limit)

    async def take(self, key: str) -> Entry:
        async def enter(_: Entry, stack: AsyncExitStack) -> str:
            return await stack.enter_async_context(self._thing(key))

        return await self.pool.take(key, enter, LIMITS)

    @asynccontextmanager
    async def _thing(self, key: str) -> AsyncGenerator[str]:
        assert self.open.get(key, 0) == 0, "two of one key at once"
        self.open[key] = 1
        self.most = max(self.most, sum(self.open.values()))
        try:
            yield key
        finally:
            await anyio.lowlevel.checkpoint()
            self.open[key] = 0


async def test_an_idle_one_closes_and_one_that_is_held_does_not(log: list[str]) -> None:
    async with anyio.create_task_group() as tasks:
        world = World(tasks, idle=0, limit=10)
        held, idle = await world.take("held"), await world.take("idle")
        world.pool.give_back(idle)
        await idle.ended.wait()
        assert world.open == {"held": 1, "idle": 0}
        world.pool.give_back(held)
        await held.ended.wait()
    assert world.open == {"held": 0, "idle": 0}


async def test_the_one_idle_longest_makes_room_and_none_that_is_held() -> None:
    async with anyio.create_task_group() as tasks:
        world = World(tasks, idle=60, limit=2)
        first, second = await world.take("first"), await world.take("second")
        with pytest.raises(Unavailable, match="all 2 of things are in use"):
            await world.take("third")
        world.pool.give_back(second)
        world.pool.give_back(first)
        await world.take("third")
        await first.ended.wait()
        assert world.open["first"] == 0
        assert world.open["second"] == 1 or world.open["third"] == 1
        await close_pools([world.pool])


def test_a_chain_of_keys_makes_room_from_its_top(log: list[str]) -> None:
    """What is held by something idle is freed with it."""

    @scope.keyed(by=path, limit=2)
    def below(of: str = provided(path)) -> AbstractAsyncContextManager[str]:
        return logged(f"below {of}")

    @scope.keyed(by=path)
    async def above(on: str = provided(below)) -> AsyncGenerator[str]:
        yield on

    app = FastAPI(lifespan=lifespan)

    @app.get("/{name}")
    async def get(name: str, value: str = provided(above)) -> str:
        return value

    with TestClient(app) as client:
        assert [client.get(f"/{name}").status_code for name in "abcd"] == [200] * 4
        assert log.count("close below /a") == log.count("close below /b") == 1


async def test_one_that_cannot_open_is_told_to_all_who_wait_and_tried_again_by_the_next() -> None:
    async with anyio.create_task_group() as tasks:
        pool = Pool("things", lambda own: void(tasks.start_soon(own)), idle=60, limit=2)
        go = anyio.Event()
        refused: list[Unavailable] = []

        async def broken(*_: Any) -> object:
            await go.wait()
            raise OSError("away")

        async def take() -> None:
            try:
                await pool.take("key", broken, LIMITS)
            except Unavailable as error:
                refused.append(error)

        for _ in range(10):
            tasks.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        go.set()
        await anyio.wait_all_tasks_blocked()
        assert [str(error) for error in refused] == ["things could not be opened: OSError: away"] * 10

        async def well(*_: Any) -> object:
            return "well"

        assert (await pool.take("key", well, LIMITS)).value == "well"
        await close_pools([pool])


STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "give", "end", "rest"]), st.sampled_from(["a", "b", "c"])), max_size=30
)


@given(STEPS, st.sampled_from([0.0, 60.0]), st.integers(1, 3))
@settings(max_examples=100, deadline=None)
async def test_whatever_is_taken_given_back_and_ended_there_is_never_a_second_of_one_key(
    steps: list[tuple[str, str]], idle: float, limit: int
) -> None:
    """And what is held is open, and at the end nothing is."""
    async with anyio.create_task_group() as tasks:
        world = World(tasks, idle=idle, limit=limit)
        held: list[Entry] = []
        for step, key in steps:
            if step == "take":
                try:
                    held.append(await world.take(key))
                except Unavailable:
                    assert len({id(entry) for entry in held}) >= limit
            elif step == "give" and held:
                world.pool.give_back(held.pop(0))
            elif step == "end" and not any(entry.key == key for entry in held):
                await world.pool.end(key)
            else:
                await anyio.wait_all_tasks_blocked()
            assert all(entry.is_open and world.open[str(entry.key)] for entry in held)
        await close_pools([world.pool])
        assert not any(world.open.values())


async def test_one_that_cannot_be_closed_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    @asynccontextmanager
    async def stubborn() -> AsyncGenerator[str]:
        yield "stubborn"
        raise OSError("will not close")

    async def enter(_: Entry, stack: AsyncExitStack) -> str:
        return await stack.enter_async_context(stubborn())

    async with anyio.create_task_group() as tasks:
        pool = Pool("things", lambda own: void(tasks.start_soon(own)), idle=0, limit=1)
        entry = await pool.take("key", enter, LIMITS)
        pool.give_back(entry)
        await entry.ended.wait()
    assert [record.message for record in caplog.records] == ["one of things could not be closed"]


async def test_one_that_crashes_is_told_in_the_log_and_the_next_gets_another(caplog: pytest.LogCaptureFixture) -> None:
    crash = anyio.Event()

    @asynccontextmanager
    async def fragile() -> AsyncGenerator[str]:
        async def background() -> None:
            await crash.wait()
            raise ConnectionError("gone")

        async with anyio.create_task_group() as own:
            own.start_soon(background)
            yield "fragile"
            own.cancel_scope.cancel()

    async def enter(_: Entry, stack: AsyncExitStack) -> str:
        return await stack.enter_async_context(fragile())

    async with anyio.create_task_group() as tasks:
        pool = Pool("things", lambda own: void(tasks.start_soon(own)), idle=60, limit=2)
        first = await pool.take("key", enter, LIMITS)
        crash.set()
        await first.ended.wait()
        crash = anyio.Event()
        second = await pool.take("key", enter, LIMITS)
        assert second is not first
        pool.give_back(first)
        pool.give_back(second)
        await close_pools([pool])
    assert [record.message for record in caplog.records] == ["one of things failed while serving"]


def test_half_a_fake_is_refused_where_fastapi_parses_the_key() -> None:
    app = application()
    with TestClient(app) as client:
        app.dependency_overrides[settings_] = lambda: "fake"
        with pytest.raises(OverrideError, match="tenant_pool is open and was built on settings_"):
            client.get("/tenant", headers={"x-tenant": "a"})
