"""What one crash, end or start brings about elsewhere: on a fallback, in an outer lifespan, in another application."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from heykit import lifespan_with, provided, scope
from heykit._instances import instances_in
from heykit._keyed import hold
from heykit.errors import StartupError, Unavailable
from heykit.lifetime import end
from heykit.scope import Provider
from tests.living import Obtain, running, serving

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("hurried")


class Server:
    """Something outside that comes and goes, and what is connected to it."""

    def __init__(self, name: str, *, up: bool = True) -> None:
        self.name = name
        self.up = up
        self.log: list[str] = []
        self.gone = anyio.Event()
        self.cleans_up = anyio.Event()
        self.cleans_up.set()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[str]:
        if not self.up:
            raise ConnectionError(f"{self.name} is away")
        gone = self.gone
        self.log.append("open")

        async def watch() -> None:
            await gone.wait()
            raise ConnectionError(f"{self.name} is gone")

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                yield self.name
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self.cleans_up.wait()
            self.log.append("close")

    async def crash(self, *, up: bool) -> None:
        self.up = up
        self.gone.set()
        self.gone = anyio.Event()
        await settle()


async def settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def until_it_gives(obtain: Obtain, provider: Provider[Any], wanted: object) -> None:
    found: object = None
    with anyio.fail_after(5):
        while found != wanted:
            await anyio.sleep(0.001)
            try:
                found = await obtain(provider)
            except Unavailable as refused:
                found = refused


async def test_what_is_asked_for_while_something_beneath_it_cleans_up_can_be_had_afterwards() -> None:
    server = Server("database")

    @scope.application(lazy=True)
    def database() -> AbstractAsyncContextManager[str]:
        return server.connect()

    @scope.application(lazy=True)
    async def users(of: str = provided(database)) -> str:
        return f"users of {of}"

    async with running(serving(database, users)) as obtain:
        await obtain(database)
        server.cleans_up = anyio.Event()
        await server.crash(up=True)
        with pytest.raises(Unavailable):
            await obtain(users)
        server.cleans_up.set()
        await until_it_gives(obtain, users, "users of database")


async def test_a_fallback_with_a_fallback_of_its_own_stands_in_again() -> None:
    middle = Server("middle")

    @scope.application
    async def last() -> str:
        await settle()
        return "last"

    @scope.application(fallback=last)
    def between() -> AbstractAsyncContextManager[str]:
        return middle.connect()

    @scope.application(fallback=between)
    async def first() -> str:
        raise ConnectionError("first is away")

    async with running(serving(first)) as obtain:
        assert await obtain(first) == "middle"
        await middle.crash(up=False)
        await until_it_gives(obtain, first, "last")
        middle.up = True
        await until_it_gives(obtain, first, "middle")


async def test_a_fallback_that_crashes_while_the_original_is_tried_is_served_no_longer() -> None:
    spare_server = Server("spare")
    tries = 0
    trying = anyio.Event()

    @scope.application
    def spare() -> AbstractAsyncContextManager[str]:
        return spare_server.connect()

    @scope.application(fallback=spare, timeout=60)
    async def original() -> str:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError("away")
        trying.set()
        await anyio.sleep_forever()
        return "never"

    async with running(serving(original)) as obtain:
        assert await obtain(original) == "spare"
        await trying.wait()
        await spare_server.crash(up=True)
        with pytest.raises(Unavailable):
            await obtain(original)


async def test_what_was_opened_on_something_late_closes_before_it() -> None:
    log: list[str] = []
    server = Server("database", up=False)
    server.log = log

    @scope.application
    def database() -> AbstractAsyncContextManager[str]:
        return server.connect()

    @scope.application
    async def memory() -> str:
        return "memory"

    @scope.application(fallback=memory)
    async def cache(of: str = provided(database)) -> AsyncGenerator[str]:
        yield f"cache on {of}"
        log.append("close cache")

    async with running(serving(cache)) as obtain:
        assert await obtain(cache) == "memory"
        server.up = True
        await until_it_gives(obtain, cache, "cache on database")
    assert log == ["open", "close cache", "close"]


class TestNested:
    """A lifespan within that of the same application."""

    async def test_what_the_outer_one_declares_stays_open_when_the_inner_one_ends(self) -> None:
        server = Server("database")

        @scope.application(lazy=True)
        def database() -> AbstractAsyncContextManager[str]:
            return server.connect()

        @scope.application
        async def worker(of: str = provided(database)) -> str:
            return f"worker on {of}"

        app = serving(database)
        async with running(app) as obtain:
            async with lifespan_with(worker)(app):
                assert await obtain(worker) == "worker on database"
            assert await obtain(database) == "database"
            assert server.log == ["open"]
        assert server.log == ["open", "close"]

    async def test_what_the_inner_one_cannot_open_of_the_outer_is_tried_again(self) -> None:
        server = Server("database", up=False)

        @scope.application(lazy=True)
        def database() -> AbstractAsyncContextManager[str]:
            return server.connect()

        @scope.application
        async def spare() -> str:
            return "spare"

        @scope.application(fallback=spare)
        async def worker(of: str = provided(database)) -> str:
            return f"worker on {of}"

        app = serving(database)
        async with running(app) as obtain, lifespan_with(worker)(app):
            assert await obtain(worker) == "spare"
            server.up = True
            await until_it_gives(obtain, worker, "worker on database")

    async def test_one_that_cannot_start_takes_nothing_of_the_outer_along(self) -> None:
        @scope.application(lazy=True)
        async def database() -> str:
            return "database"

        @scope.application
        async def broken() -> str:
            raise ValueError("broken")

        app = serving(database)
        async with running(app) as obtain:
            with pytest.raises(StartupError, match="broken"):
                async with lifespan_with(broken)(app):
                    pass
            assert await obtain(database) == "database"


async def test_of_one_key_there_is_never_a_second_while_the_crashed_one_cleans_up() -> None:
    server = Server("pool")

    @scope.request
    async def tenant() -> str:
        return "tenant"

    @scope.keyed(by=tenant)
    def pool() -> AbstractAsyncContextManager[str]:
        return server.connect()

    app = serving(pool)
    async with running(app), AsyncExitStack() as still_held, anyio.create_task_group() as tasks:
        await hold(instances_in(app), pool, "tenant", still_held)
        server.cleans_up = anyio.Event()
        await server.crash(up=True)
        async with AsyncExitStack() as next_:

            async def take() -> None:
                await hold(instances_in(app), pool, "tenant", next_)

            tasks.start_soon(take)
            await settle()
            assert server.log == ["open"]
            server.cleans_up.set()
            await settle()
            assert server.log == ["open", "close", "open"]


async def test_nor_of_a_singleton_which_no_application_hands_out_meanwhile() -> None:
    server = Server("model")

    @scope.singleton
    def model() -> AbstractAsyncContextManager[str]:
        return server.connect()

    async with running(serving(model)) as obtain, anyio.create_task_group() as tasks:
        server.cleans_up = anyio.Event()
        await server.crash(up=True)
        with pytest.raises(Unavailable, match="model has failed"):
            await obtain(model)

        async def start_another() -> None:
            async with running(serving(model)) as obtain_there:
                assert await obtain_there(model) == "model"

        tasks.start_soon(start_another)
        await settle()
        assert server.log == ["open"]
        server.cleans_up.set()
    assert server.log == ["open", "close"] * 2


async def test_an_application_that_was_run_twice_at_once_keeps_nothing_of_either() -> None:
    @scope.application
    async def database() -> str:
        return "database"

    app = serving(database)
    first, second = (asyncio.Event() for _ in range(2))
    up: list[object] = []

    async def run(stop: asyncio.Event) -> None:
        async with app.router.lifespan_context(app):
            up.append(None)
            await stop.wait()

    tasks = [asyncio.create_task(run(stop)) for stop in (first, second)]
    while len(up) < 2:
        await anyio.lowlevel.checkpoint()
    for stop, task in zip((first, second), tasks, strict=True):
        stop.set()
        await task
    assert getattr(app.state, "heykit", None) is None


async def test_the_end_of_a_key_waits_for_all_that_is_kept_by_it_and_not_for_what_nobody_waits_for() -> None:
    log: list[str] = []

    @scope.request
    async def tenant() -> str:
        return "tenant"

    @asynccontextmanager
    async def logged(name: str) -> AsyncGenerator[str]:
        yield name
        await settle()
        log.append(name)

    @scope.keyed(by=tenant)
    def below() -> AbstractAsyncContextManager[str]:
        return logged("below")

    @scope.keyed(by=tenant)
    def above(of: str = provided(below)) -> AbstractAsyncContextManager[str]:
        return logged(f"above {of}")

    @scope.keyed(by=tenant, timeout=60)
    async def hangs() -> str:
        await anyio.sleep_forever()
        return "never"

    app = serving(below, above, hangs)
    async with running(app):
        for provider in (below, above):
            async with AsyncExitStack() as stack:
                await hold(instances_in(app), provider, "tenant", stack)
        with anyio.move_on_after(0.01):
            async with AsyncExitStack() as stack:
                await hold(instances_in(app), hangs, "tenant", stack)
        await end(app, tenant, "tenant")
        assert log == ["above below", "below"]


def test_the_end_comes_although_every_task_is_cancelled_while_it_closes() -> None:
    """As `asyncio.run` does at a second Ctrl-C."""

    async def main() -> None:
        serves, closing = asyncio.Event(), asyncio.Event()

        @scope.application
        async def database() -> AsyncGenerator[str]:
            yield "database"

        @scope.application
        async def users(of: str = provided(database)) -> AsyncGenerator[str]:
            try:
                yield of
            finally:
                closing.set()
                await anyio.sleep_forever()

        async def live() -> None:
            app = serving(users)
            async with app.router.lifespan_context(app):
                serves.set()
                await anyio.sleep_forever()

        life = asyncio.create_task(live())
        await serves.wait()
        life.cancel()
        await closing.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        done, _ = await asyncio.wait([life], timeout=5)
        assert done == {life}
        assert life.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("leaving", ["SystemExit(3)", "KeyboardInterrupt()"])
def test_what_ends_the_process_while_something_closes_ends_it(leaving: str) -> None:
    program = f"""
import asyncio
from heykit import opened, provided, scope

@scope.application
async def database():
    yield "database"
    print("database closed")

@scope.application
async def users(of: object = provided(database)):
    yield of
    raise {leaving}

async def main():
    async with opened(users):
        pass

try:
    asyncio.run(main())
except BaseException as error:
    print(repr(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == leaving


async def test_what_opened_although_given_up_and_cannot_be_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    @scope.application
    async def broken() -> str:
        await settle()
        raise ValueError("broken")

    @scope.application
    async def stubborn() -> AsyncGenerator[str]:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.05)
        yield "stubborn"
        raise OSError("will not close")

    with pytest.raises(StartupError, match="broken"):
        async with running(serving(stubborn, broken)):
            pass
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == ["stubborn"]
    assert "could not be closed" in caplog.text
