"""Long lives when things go wrong at an awkward moment: what is away comes back, and nothing waits for ever."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient

from heykit import lifespan, lifespan_with, provided, request_scope, scope
from heykit._instances import instances_in
from heykit._life import Limits
from heykit._pool import Pool, close_pools
from heykit.errors import NotOpen, ShutdownError, StartupError, Unavailable, WiringError
from heykit.resilience import Retry, pauses
from heykit.scope import Provider
from heykit.testing import overridden
from tests.living import running, serving, until

pytestmark = pytest.mark.usefixtures("hurried")


@pytest.fixture
def log() -> list[str]:
    return []


def void(_: object) -> None:
    """Nothing of it is needed."""


def state_of(app: FastAPI, provider: Provider[Any]) -> str:
    found = instances_in(app).get(provider)
    assert found is not None
    return found.state


class Server:
    """Something outside that can go away and come back, and kill those that use it."""

    def __init__(self) -> None:
        self.up = True
        self.opened = 0
        self.fails = anyio.Event()

    def connect(self, name: str) -> AbstractAsyncContextManager[str]:
        @asynccontextmanager
        async def connection() -> AsyncGenerator[str]:
            if not self.up:
                raise ConnectionError(f"{name} is away")
            self.opened += 1
            fails = self.fails

            async def watch() -> None:
                await fails.wait()
                raise ConnectionError(f"{name} is gone")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                yield f"{name} {self.opened}"
                tasks.cancel_scope.cancel()

        return connection()

    def crash(self, *, up: bool) -> None:
        self.up = up
        self.fails.set()
        self.fails = anyio.Event()


def cache_on(server: Server) -> tuple[Provider[str], Provider[str]]:
    """A client of a server, and a cache on it with one in memory to fall back on."""

    @scope.application
    def client() -> AbstractAsyncContextManager[str]:
        return server.connect("client")

    @scope.application
    async def memory() -> str:
        return "memory"

    @scope.application(fallback=memory)
    async def cache(of: str = provided(client)) -> str:
        return f"cache on {of}"

    return client, cache


class TestFallback:
    async def test_a_fallback_that_crashes_serves_no_more_and_another_takes_its_place(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("heykit._keeping._FIRST_PAUSE", 1e9)
        away, spare_server = Server(), Server()
        away.up = False

        @scope.application
        def spare() -> AbstractAsyncContextManager[str]:
            return spare_server.connect("spare")

        @scope.application(fallback=spare)
        def main() -> AbstractAsyncContextManager[str]:
            return away.connect("main")

        app = serving(main)
        async with running(app) as obtain:
            assert await obtain(main) == "spare 1"
            spare_server.crash(up=True)
            await until(lambda: instances_in(app).values.get(main) == "spare 2")

    async def test_both_away_for_a_moment_is_not_the_end(self) -> None:
        server, spare_server = Server(), Server()

        @scope.application
        def spare() -> AbstractAsyncContextManager[str]:
            return spare_server.connect("spare")

        @scope.application(fallback=spare)
        def main() -> AbstractAsyncContextManager[str]:
            return server.connect("main")

        app = serving(main)
        async with running(app) as obtain:
            assert await obtain(main) == "main 1"
            spare_server.up = False
            server.crash(up=False)
            await until(lambda: state_of(app, main) == "failed")
            with pytest.raises(Unavailable):
                await obtain(main)
            server.up = True
            await until(lambda: state_of(app, main) == "open")
            assert await obtain(main) == "main 2"

    async def test_one_that_never_came_back_does_not_hold_up_the_end(self) -> None:
        server, spare_server = Server(), Server()

        @scope.application
        def spare() -> AbstractAsyncContextManager[str]:
            return spare_server.connect("spare")

        @scope.application(fallback=spare)
        def main() -> AbstractAsyncContextManager[str]:
            return server.connect("main")

        app = serving(main)
        async with running(app):
            spare_server.up = False
            server.crash(up=False)
            await until(lambda: state_of(app, main) == "failed")

    async def test_it_serves_too_where_something_beneath_the_original_cannot_open(self) -> None:
        server = Server()
        server.up = False
        _, cache = cache_on(server)
        app = serving(cache)
        async with running(app) as obtain:
            assert await obtain(cache) == "memory"
            server.up = True
            await until(lambda: state_of(app, cache) == "open")
            assert await obtain(cache) == "cache on client 1"

    async def test_what_something_else_needs_too_is_still_critical(self) -> None:
        server = Server()
        server.up = False
        client, cache = cache_on(server)
        with pytest.raises(StartupError, match=r"client .* could not be opened: ConnectionError: client is away"):
            async with running(serving(cache, client)):
                pass

    async def test_one_that_needs_what_it_stands_in_for_is_a_fault(self) -> None:
        @scope.application
        async def spare() -> str:
            return "spare"

        @scope.application(fallback=spare)
        async def main() -> str:
            return "main"

        def circular(of: str = provided(main)) -> str:
            return of

        with overridden(app := serving(main), {spare: circular}), pytest.raises(WiringError, match="main -> circular"):
            async with running(app):
                pass

    async def test_beneath_a_singleton_it_is_a_fault(self) -> None:
        @scope.singleton
        async def spare() -> str:
            return "spare"

        @scope.singleton(fallback=spare)
        async def main() -> str:
            return "main"

        @scope.singleton
        async def above(of: str = provided(main)) -> str:
            return of

        with pytest.raises(WiringError, match="give the fallback to above"):
            async with running(serving(above)):
                pass


async def test_one_that_crashed_is_handed_to_nobody_while_it_cleans_up() -> None:
    crash, cleaning, cleaned = anyio.Event(), anyio.Event(), anyio.Event()

    @scope.application
    async def fragile() -> AsyncGenerator[str]:
        async def background() -> None:
            await crash.wait()
            raise ConnectionError("gone")

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(background)
                yield "fragile"
        finally:
            cleaning.set()
            await cleaned.wait()

    app = serving(fragile)
    async with running(app) as obtain:
        crash.set()
        await cleaning.wait()
        with pytest.raises(Unavailable, match="fragile has failed"):
            await obtain(fragile)
        assert state_of(app, fragile) == "failed"
        cleaned.set()


async def test_the_end_interrupts_the_pause_between_two_attempts() -> None:
    tried = anyio.Event()

    @scope.application(lazy=True, retry=Retry(attempts=2, wait=1e9, deadline=1e10), timeout=1e10)
    async def away() -> str:
        tried.set()
        raise ConnectionError("away")

    async def ask(obtain: Callable[[Provider[Any]], Awaitable[object]]) -> None:
        with pytest.raises(NotOpen):
            await obtain(away)

    async with anyio.create_task_group() as tasks, running(serving(away)) as obtain:
        tasks.start_soon(ask, obtain)
        await tried.wait()
        await anyio.wait_all_tasks_blocked()


async def test_so_does_the_failure_of_a_sibling_at_the_start() -> None:
    tried = anyio.Event()

    @scope.application(retry=Retry(attempts=2, wait=1e9, deadline=1e10), timeout=1e10)
    async def away() -> str:
        tried.set()
        raise ConnectionError("away")

    @scope.application
    async def broken() -> str:
        await tried.wait()
        await anyio.lowlevel.checkpoint()
        raise ValueError("broken")

    with pytest.raises(StartupError, match="broken"):
        async with running(serving(away, broken)):
            pass


async def test_the_end_just_after_a_lazy_chain_was_asked_for_is_told_as_it_is() -> None:
    """Not as a group of errors out of the lifespan."""

    @scope.application(lazy=True)
    async def below() -> str:
        return "below"

    @scope.application(lazy=True)
    async def above(of: str = provided(below)) -> str:
        return of

    async def ask(obtain: Callable[[Provider[Any]], Awaitable[object]]) -> None:
        with pytest.raises(NotOpen):
            await obtain(above)

    async with anyio.create_task_group() as tasks, running(serving(above)) as obtain:
        tasks.start_soon(ask, obtain)
        await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("retry", "said"),
    [
        (None, "it took more than 0.02 s to open; its provider's timeout= sets the limit"),
        (Retry(attempts=2, deadline=0.01), "it took more than 0.01 s to open; its Retry's deadline= sets the limit"),
    ],
)
async def test_the_limit_that_is_not_enough_is_the_one_that_is_named(retry: Retry | None, said: str) -> None:
    @scope.application(timeout=0.02, retry=retry)
    async def slow() -> str:
        await anyio.sleep_forever()
        return "slow"

    with pytest.raises(StartupError, match=said):
        async with running(serving(slow)):
            pass


def test_very_many_attempts_are_possible() -> None:
    found = pauses(Retry(attempts=5000, wait=0.1, deadline=10), uniform=lambda _, most: most)

    assert max(found) == 10


class TestSingleton:
    async def test_one_that_hangs_while_it_opens_is_not_waited_for_by_the_next_start(self) -> None:
        attempts = 0

        @scope.singleton(timeout=0.05)
        async def model() -> str:
            nonlocal attempts
            attempts += 1
            if attempts == 1:
                await anyio.sleep_forever()
            return f"model {attempts}"

        with pytest.raises(StartupError, match=r"it took more than 0\.05 s to open"):
            async with running(serving(model)):
                pass
        async with running(serving(model)) as obtain:
            assert await obtain(model) == "model 2"

    async def test_beneath_another_it_keeps_its_own_limit_and_retries(self) -> None:
        attempts = 0

        @scope.singleton(retry=Retry(attempts=3, wait=0.0))
        async def below() -> str:
            nonlocal attempts
            attempts += 1
            if attempts < 3:
                raise ConnectionError("not yet")
            return "below"

        @scope.singleton(timeout=0.02)
        async def hangs() -> str:
            await anyio.sleep_forever()
            return "never"

        @scope.singleton
        async def above(of: str = provided(below)) -> str:
            return of

        @scope.singleton(timeout=60)
        async def above_hanging(of: str = provided(hangs)) -> str:
            return of

        async with running(serving(above)) as obtain:
            assert await obtain(above) == "below"
        with pytest.raises(StartupError, match=r"it took more than 0\.02 s to open hangs"):
            async with running(serving(above_hanging)):
                pass

    async def test_its_crash_is_told_as_it_is_however_deep_it_lies(self) -> None:
        server = Server()

        @scope.singleton
        def below() -> AbstractAsyncContextManager[str]:
            return server.connect("below")

        @scope.singleton
        async def above(of: str = provided(below)) -> AsyncGenerator[str]:
            yield of

        app = serving(above)
        async with running(app):
            server.crash(up=True)
            await until(lambda: state_of(app, above) == "failed")
            found = instances_in(app).get(above)
        assert found is not None
        assert not isinstance(getattr(found.error, "exceptions", [None])[0], BaseExceptionGroup)


@scope.request
async def who(connection: HTTPConnection) -> str:
    return connection.headers["x-user"]


class TestKept:
    async def test_two_ends_while_one_opens_do_not_hold_up_the_end(self) -> None:
        go = anyio.Event()
        opening = 0

        async def enter(*_: Any) -> str:
            nonlocal opening
            opening += 1
            await go.wait()
            return "late"

        async with anyio.create_task_group() as tasks:
            pool = Pool("things", lambda own: void(tasks.start_soon(own)), idle=60, limit=9)

            async def take() -> None:
                with pytest.raises(Unavailable):
                    await pool.take("key", enter, Limits(60, 60, 60))

            for number in range(1, 4):
                tasks.start_soon(take)
                await until(lambda wanted=number: opening == wanted)  # type: ignore[misc]
                tasks.start_soon(pool.end, "key")
                await anyio.wait_all_tasks_blocked()
            with anyio.fail_after(2):
                await close_pools([pool])

    async def test_a_full_pool_closes_nothing_of_others_that_have_nothing_to_do_with_it(self, log: list[str]) -> None:
        @scope.keyed(by=who, limit=1)
        async def full() -> AsyncGenerator[str]:
            yield "full"

        @scope.keyed(by=who)
        async def other() -> AsyncGenerator[str]:
            yield "other"
            log.append("close other")

        app = serving(full, other)
        async with running(app):
            async with request_scope(connection(app)) as get:
                await get(other)
            async with request_scope(connection(app)) as get, request_scope(connection(app, "eve")) as get_too:
                await get(full)
                with pytest.raises(Unavailable, match="all 1 of full are in use"):
                    await get_too(full)
            assert log == []
        assert log == ["close other"]

    async def test_an_opening_that_ends_before_its_task_is_known_leaves_nothing_behind(self) -> None:
        """An eager task factory runs a task at once, to its first wait."""
        async with anyio.create_task_group() as tasks:
            eager = True

            def spawn(own: Callable[[], Coroutine[Any, Any, None]]) -> None:
                if not eager:
                    tasks.start_soon(own)
                    return
                with pytest.raises(StopIteration):
                    own().send(None)

            async def away(*_: Any) -> str:
                raise ConnectionError("away")

            async def well(*_: Any) -> str:
                return "well"

            limits = Limits(60, 60, 60)
            pool = Pool("things", spawn, idle=60, limit=9)
            with pytest.raises(Unavailable, match="away"):
                await pool.take("key", away, limits)
            eager = False
            assert (await pool.take("key", well, limits)).value == "well"
            await close_pools([pool])

    def test_what_could_not_be_closed_is_told_by_the_lifespan(self) -> None:
        @scope.session(by=who)
        async def stubborn() -> AsyncGenerator[str]:
            yield "stubborn"
            raise OSError("will not close")

        told = pytest.raises(ShutdownError, match="not everything could be closed: stubborn")
        with told as caught, TestClient(serving(stubborn)) as client:
            client.get("/0", headers={"x-user": "ada"})
        assert [str(error) for error in caught.value.errors] == ["will not close"]

    async def test_an_inner_lifespan_that_ends_leaves_to_the_outer_what_is_the_outers(self, log: list[str]) -> None:
        @scope.keyed(by=who)
        async def kept() -> AsyncGenerator[str]:
            log.append("open kept")
            yield "kept"
            log.append("close kept")

        @scope.application
        async def inner_thing() -> str:
            return "inner"

        @scope.keyed(by=who)
        async def on_inner(of: str = provided(inner_thing)) -> AsyncGenerator[str]:
            log.append("open on inner")
            yield of
            log.append("close on inner")

        app = serving(kept)

        @asynccontextmanager
        async def both(app: FastAPI) -> AsyncGenerator[Any]:
            async with lifespan(app) as state:
                async with lifespan_with(inner_thing)(app), request_scope(connection(app)) as get:
                    assert await get(kept) == "kept"
                    assert await get(on_inner) == "inner"
                log.append("inner has ended")
                yield state

        app.router.lifespan_context = both
        with TestClient(app) as client:
            assert client.get("/0", headers={"x-user": "ada"}).json() == "kept"
            assert client.get("/0", headers={"x-user": "eve"}).json() == "kept"
        assert log == [
            "open kept", "open on inner", "close on inner", "inner has ended", "open kept", "close kept", "close kept",
        ]  # fmt: skip


def connection(app: FastAPI, name: str = "ada") -> HTTPConnection:
    headers = [(b"x-user", name.encode())]
    return HTTPConnection({"type": "http", "headers": headers, "app": app, "state": {}, "path": "/"})


class TestRequestScope:
    async def test_asked_for_twice_at_once_it_is_opened_once(self) -> None:
        opened = 0

        @scope.request
        async def session() -> str:
            nonlocal opened
            opened += 1
            await anyio.lowlevel.checkpoint()
            return f"session {opened}"

        found: list[str] = []
        async with running(app := serving(session)), request_scope(app) as get, anyio.create_task_group() as tasks:

            async def ask() -> None:
                found.append(await get(session))

            tasks.start_soon(ask)
            tasks.start_soon(ask)
        assert found == ["session 1", "session 1"]

    async def test_a_fake_that_was_put_in_by_hand_is_called_once(self) -> None:
        called = 0

        @scope.request
        async def session() -> str:
            return "session"

        def fake() -> str:
            nonlocal called
            called += 1
            return f"fake {called}"

        app = serving(session)
        app.dependency_overrides[session] = fake
        async with running(app), request_scope(app) as get:
            assert [await get(session), await get(session)] == ["fake 1", "fake 1"]


async def test_a_fault_of_a_fake_names_the_fake_and_its_place() -> None:
    @scope.application
    async def database() -> str:
        return "database"

    def fake(of: Any) -> str:
        return str(of)

    told = pytest.raises(WiringError, match=r"test_awkward_moments\.py:\d+")
    with overridden(app := serving(database), {database: fake}), told:
        async with running(app):
            pass
