"""Lifetimes beyond the application's start: lazy, tried again, replaced by a fallback, shared by a whole loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from fastapi import FastAPI
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient

from heykit import lifespan, lifespan_with, opened, provided, request_scope, scope
from heykit._instances import Instance, instances_in
from heykit.errors import NotOpen, ShutdownError, StartupError, Unavailable, WiringError
from heykit.lifetime import Opened, instances
from heykit.resilience import Retry
from heykit.scope import Provider
from tests.living import running, serving, until

WHO: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture
def log() -> list[str]:
    return []


@asynccontextmanager
async def logged(log: list[str], name: str) -> AsyncGenerator[str]:
    log.append(f"open {name}")
    try:
        yield name
    finally:
        log.append(f"close {name}")


def states(app: FastAPI) -> set[str]:
    """The states of what an application holds."""
    return {instance.state for instance in instances_in(app)}


def instance_of(app: FastAPI, provider: Provider[Any]) -> Instance:
    found = instances_in(app).get(provider)
    assert found is not None
    return found


def states_or_none(app: FastAPI) -> set[str]:
    return states(app) if getattr(app.state, "heykit", None) is not None else set()


class TestLazy:
    def test_it_is_opened_at_the_first_use_and_closed_with_the_application(self, log: list[str]) -> None:
        @scope.application(lazy=True)
        def model() -> AbstractAsyncContextManager[str]:
            return logged(log, "model")

        with TestClient(serving(model)) as client:
            assert log == []
            assert [client.get("/0").json() for _ in range(2)] == ["model", "model"]
            assert log == ["open model"]
        assert log == ["open model", "close model"]

    def test_one_that_nobody_needed_is_never_opened(self, log: list[str]) -> None:
        @scope.application(lazy=True)
        def model() -> AbstractAsyncContextManager[str]:
            return logged(log, "model")

        with TestClient(serving(model)):
            assert log == []
        assert log == []

    def test_only_the_requests_beneath_which_it_lies_open_it(self, log: list[str]) -> None:
        @scope.application(lazy=True)
        def below() -> AbstractAsyncContextManager[str]:
            return logged(log, "below")

        @scope.application(lazy=True)
        async def model(on: str = provided(below)) -> AsyncGenerator[str]:
            async with logged(log, f"model on {on}") as value:
                yield value

        @scope.request
        async def needs(of: str = provided(model)) -> str:
            return of

        @scope.request
        async def needs_not() -> str:
            return "nothing"

        with TestClient(serving(needs_not, needs)) as client:
            client.get("/0")
            assert log == []
            assert client.get("/1").json() == "model on below"
        assert log == ["open below", "open model on below", "close model on below", "close below"]

    def test_what_an_eager_thing_needs_is_not_lazy(self, log: list[str]) -> None:
        @scope.application(lazy=True)
        def below() -> AbstractAsyncContextManager[str]:
            return logged(log, "below")

        @scope.application
        async def eager(on: str = provided(below)) -> str:
            return on

        with TestClient(serving(eager)):
            assert log == ["open below"]

    async def test_ten_thousand_first_uses_at_once_open_it_once(self) -> None:
        made: list[object] = []
        everybody = anyio.Event()

        @scope.application(lazy=True)
        async def model() -> object:
            made.append(object())
            await everybody.wait()
            return made[-1]

        seen: set[int] = set()

        async def use(app: FastAPI) -> None:
            async with request_scope(app) as get:
                seen.add(id(await get(model)))

        async with running(app := serving(model)), anyio.create_task_group() as users:
            for _ in range(10_000):
                users.start_soon(use, app)
            await anyio.wait_all_tasks_blocked()
            everybody.set()
        assert (len(made), len(seen)) == (1, 1)

    async def test_the_first_user_who_leaves_takes_nobody_along_and_lends_it_no_context(self) -> None:
        go = anyio.Event()
        opened_as: list[str] = []

        @scope.application(lazy=True)
        async def model() -> str:
            opened_as.append(WHO.get())
            await go.wait()
            return "model"

        got: list[str] = []
        leaving = anyio.CancelScope()

        async def use(app: FastAPI, who: str, within: anyio.CancelScope) -> None:
            WHO.set(who)
            with within:
                async with request_scope(app) as get:
                    got.append(await get(model))

        async with running(app := serving(model)), anyio.create_task_group() as users:
            users.start_soon(use, app, "first", leaving)
            await anyio.wait_all_tasks_blocked()
            users.start_soon(use, app, "second", anyio.CancelScope())
            await anyio.wait_all_tasks_blocked()
            leaving.cancel()
            await anyio.wait_all_tasks_blocked()
            go.set()
        assert got == ["model"]
        assert opened_as == ["nobody"]

    def test_one_that_cannot_open_is_503_and_tried_again_at_the_next_use(self) -> None:
        attempts: list[int] = []

        @scope.application(lazy=True)
        async def model() -> str:
            attempts.append(1)
            if len(attempts) == 1:
                raise OSError("not yet")
            return "model"

        with TestClient(serving(model)) as client:
            with pytest.raises(Unavailable, match="model has failed") as caught:
                client.get("/0")
            assert isinstance(caught.value.__cause__, OSError)
            assert client.get("/0").json() == "model"

    async def test_after_the_end_nothing_is_opened_any_more(self) -> None:
        @scope.application(lazy=True)
        async def model() -> str:
            return "model"

        async with running(app := serving(model)), request_scope(app) as get:
            pass
        with pytest.raises(NotOpen):
            await get(model)


class TestRetry:
    async def test_each_failed_attempt_is_logged_and_the_next_one_opens_it(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        attempts: list[int] = []

        @scope.application(retry=Retry(attempts=3, wait=0.001))
        async def database() -> str:
            attempts.append(1)
            if len(attempts) < 3:
                raise ConnectionError("away")
            return "database"

        async with opened(database) as value:
            assert value == "database"
        told = [record.message for record in caplog.records]
        assert [message.split(" to open")[0] for message in told] == ["attempt 1 of 3", "attempt 2 of 3"]

    async def test_the_last_error_is_the_cause(self) -> None:
        attempts: list[int] = []

        @scope.application(retry=Retry(attempts=2, wait=0.0))
        async def database() -> str:
            attempts.append(1)
            raise ConnectionError(f"attempt {len(attempts)}")

        with pytest.raises(StartupError, match="ConnectionError: attempt 2"):
            async with opened(database):
                raise AssertionError("it must not serve")

    async def test_only_what_is_worth_it_is_tried_again(self) -> None:
        attempts: list[int] = []

        @scope.application(retry=Retry(attempts=5, wait=0.0, on=(ConnectionError,)))
        async def database() -> str:
            attempts.append(1)
            raise ValueError("a wrong password")

        with pytest.raises(StartupError, match="wrong password"):
            async with opened(database):
                raise AssertionError("it must not serve")
        assert len(attempts) == 1

    async def test_all_attempts_together_keep_the_time_limit(self) -> None:
        attempts: list[int] = []

        @scope.application(timeout=0.3, retry=Retry(attempts=1000, wait=0.02))
        async def database() -> str:
            attempts.append(1)
            raise ConnectionError("away")

        with anyio.fail_after(5), pytest.raises(StartupError, match="ConnectionError: away"):
            async with opened(database):
                raise AssertionError("it must not serve")
        assert 1 <= len(attempts) < 1000


class TestFallback:
    async def test_the_original_is_tried_again_and_takes_over(
        self, log: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("heykit._keeping._FIRST_PAUSE", 0.001)
        there = anyio.Event()
        back = anyio.Event()

        @scope.application
        def in_memory() -> AbstractAsyncContextManager[str]:
            return logged(log, "memory")

        @scope.application(fallback=in_memory)
        async def in_redis() -> AsyncGenerator[str]:
            if not there.is_set():
                raise ConnectionError("away")
            async with logged(log, "redis") as value:
                back.set()
                yield value

        async with running(app := serving(in_redis)):
            async with request_scope(app) as get:
                assert await get(in_redis) == "memory"
            there.set()
            await until(lambda: back.is_set() and "fallback" not in states(app))
            async with request_scope(app) as get:
                assert await get(in_redis) == "redis"
        assert log == ["open memory", "open redis", "close redis", "close memory"]

    async def test_one_that_crashes_while_serving_falls_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("heykit._keeping._FIRST_PAUSE", 60.0)
        crash = anyio.Event()

        @scope.application
        async def in_memory() -> str:
            return "memory"

        @scope.application(fallback=in_memory)
        async def in_redis() -> AsyncGenerator[str]:
            async def background() -> None:
                await crash.wait()
                raise ConnectionError("gone")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(background)
                yield "redis"

        async with running(app := serving(in_redis)):
            crash.set()
            await until(lambda: "fallback" in states(app))
            async with request_scope(app) as get:
                assert await get(in_redis) == "memory"

    async def test_it_is_one_with_the_same_thing_used_elsewhere_and_may_have_its_own(self) -> None:
        @scope.application
        async def last() -> object:
            return object()

        @scope.application(fallback=last)
        async def second() -> object:
            raise OSError("second")

        @scope.application(fallback=second)
        async def first() -> object:
            raise OSError("first")

        @scope.application
        async def all_of_them(
            a: object = provided(first), b: object = provided(second), c: object = provided(last)
        ) -> list[object]:
            return [a, b, c]

        async with opened(all_of_them) as values:
            assert values[0] is values[1] is values[2]

    async def test_nothing_of_a_fallback_that_is_not_needed_is_opened(self, log: list[str]) -> None:
        @scope.application
        def below() -> AbstractAsyncContextManager[str]:
            return logged(log, "below")

        @scope.application
        async def spare(on: str = provided(below)) -> str:
            raise AssertionError("not needed")

        @scope.application(fallback=spare)
        async def main() -> str:
            return "main"

        async with opened(main) as value:
            assert value == "main"
        assert log == []

    async def test_one_that_lives_shorter_is_a_fault(self) -> None:
        @scope.request
        async def short() -> str:
            return "short"

        @scope.application(fallback=short)
        async def main() -> str:
            return "main"

        with pytest.raises(WiringError, match="main lives as long as the application and would hold short"):
            async with opened(main):
                raise AssertionError("it must not serve")


class TestSingleton:
    async def test_it_is_one_for_all_applications_of_a_loop_and_closes_after_the_last(self, log: list[str]) -> None:
        @scope.singleton
        def model() -> AbstractAsyncContextManager[str]:
            return logged(log, "model")

        first, second = serving(model), serving(model)
        leave = {first: anyio.Event(), second: anyio.Event()}
        gone: list[FastAPI] = []

        async def serve(app: FastAPI) -> None:
            async with running(app):
                await leave[app].wait()
            gone.append(app)

        async with anyio.create_task_group() as applications:
            applications.start_soon(serve, first)
            applications.start_soon(serve, second)
            await until(lambda: states_or_none(first) == states_or_none(second) == {"open"})
            async with request_scope(first) as get, request_scope(second) as also:
                assert await get(model) is await also(model)
            leave[first].set()
            await until(lambda: gone == [first])
            assert log == ["open model"]
            leave[second].set()
        assert log == ["open model", "close model"]

    async def test_the_first_application_does_not_wait_for_the_others(self, log: list[str]) -> None:
        @scope.singleton
        def model() -> AbstractAsyncContextManager[str]:
            return logged(log, "model")

        async with running(serving(model)):
            with anyio.fail_after(5):
                async with running(serving(model)):
                    pass
            assert log == ["open model"]

    async def test_many_that_start_at_once_open_it_once(self) -> None:
        made: list[object] = []

        @scope.singleton
        async def model() -> object:
            await anyio.lowlevel.checkpoint()
            made.append(object())
            return made[-1]

        leave = anyio.Event()

        async def start() -> None:
            async with running(serving(model)):
                await leave.wait()

        async with anyio.create_task_group() as applications:
            for _ in range(50):
                applications.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            leave.set()
        assert len(made) == 1

    async def test_one_that_cannot_open_is_the_cause_of_the_start_up_error(self) -> None:
        @scope.singleton
        async def model() -> str:
            raise OSError("no such model")

        with pytest.raises(StartupError, match="OSError: no such model") as caught:
            async with opened(model):
                raise AssertionError("it must not serve")
        assert isinstance(caught.value.__cause__, OSError)

    async def test_one_that_crashes_fails_in_every_application(self) -> None:
        crash = anyio.Event()

        @scope.singleton
        async def model() -> AsyncGenerator[str]:
            async def background() -> None:
                await crash.wait()
                raise ConnectionError("gone")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(background)
                yield "model"

        async with running(one := serving(model)), running(other := serving(model)):
            crash.set()
            await until(lambda: "failed" in states(one) and "failed" in states(other))
            for app in (one, other):
                async with request_scope(app) as get:
                    with pytest.raises(Unavailable, match="model has failed"):
                        await get(model)

    async def test_an_error_at_its_closing_is_told_to_the_last(self) -> None:
        @scope.singleton
        async def model() -> AsyncGenerator[str]:
            yield "model"
            raise OSError("will not close")

        with pytest.raises(ShutdownError, match="model"):
            async with running(serving(model)):
                pass

    async def test_what_is_overridden_beneath_it_is_overridden_in_that_application_alone(self) -> None:
        @scope.singleton
        async def settings() -> str:
            return "real"

        @scope.singleton
        async def model(of: str = provided(settings)) -> str:
            return f"model of {of}"

        plain, faked = serving(model), serving(model)
        faked.dependency_overrides[settings] = lambda: "fake"
        async with running(plain), running(faked), request_scope(plain) as get, request_scope(faked) as also:
            assert [await get(model), await also(model)] == ["model of real", "model of fake"]

    async def test_it_may_not_hold_what_one_application_holds(self) -> None:
        @scope.application
        async def database() -> str:
            return "database"

        @scope.singleton
        async def model(on: str = provided(database)) -> str:
            return on

        with pytest.raises(WiringError, match="model lives as long as the event loop and would hold database"):
            async with opened(model):
                raise AssertionError("it must not serve")


class TestStates:
    def test_instances_tell_their_scope_and_state(self) -> None:
        @scope.application(lazy=True)
        async def lazy() -> str:
            return "lazy"

        @scope.singleton
        async def shared() -> str:
            return "shared"

        app = serving(lazy, shared)
        seen: dict[str, Opened] = {}

        @app.get("/look")
        async def look(connection: HTTPConnection) -> None:
            seen.update(instances(connection))

        with TestClient(app) as client:
            client.get("/look")
        assert {name: (held.scope, held.state) for name, held in seen.items()} == {
            "lazy": ("application", "lazy"),
            "shared": ("singleton", "open"),
        }


class TestTimeLimits:
    async def test_an_opening_that_cannot_be_interrupted_still_has_its_limit_and_closes_whole(
        self, log: list[str]
    ) -> None:
        @scope.application(timeout=0.01)
        async def stubborn() -> AsyncGenerator[str]:
            await anyio.to_thread.run_sync(time.sleep, 0.05)
            async with logged(log, "stubborn"):
                try:
                    yield "stubborn"
                finally:
                    await anyio.lowlevel.checkpoint()
                    log.append("closed whole")

        with pytest.raises(StartupError, match=r"TimeoutError: it took more than 0\.01 s to open"):
            async with opened(stubborn):
                raise AssertionError("it must not serve")
        assert log == ["open stubborn", "closed whole", "close stubborn"]

    async def test_what_opens_just_as_a_sibling_fails_closes_whole(self, log: list[str]) -> None:
        ready = anyio.Event()

        @scope.application
        async def first() -> AsyncGenerator[str]:
            async with logged(log, "first"):
                ready.set()
                yield "first"
                await anyio.lowlevel.checkpoint()
                log.append("closed whole")

        @scope.application
        async def second() -> str:
            await ready.wait()
            raise ValueError("second")

        @scope.application
        async def both(a: str = provided(first), b: str = provided(second)) -> str:
            return a + b

        with pytest.raises(StartupError, match="second"):
            async with opened(both):
                raise AssertionError("it must not serve")
        assert log == ["open first", "closed whole", "close first"]

    async def test_one_that_crashes_while_others_open_is_the_cause(self) -> None:
        @scope.application
        async def fragile() -> AsyncGenerator[str]:
            async def background() -> None:
                raise ConnectionError("gone at once")

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(background)
                yield "fragile"

        @scope.application
        async def slow() -> str:
            await anyio.sleep_forever()
            return "slow"

        @scope.application
        async def both(a: str = provided(fragile), b: str = provided(slow)) -> str:
            return a + b

        with anyio.fail_after(5), pytest.raises(StartupError, match="fragile"):
            async with opened(both):
                raise AssertionError("it must not serve")


class TestOddEndings:
    async def test_sys_exit_in_the_body_comes_out_as_it_is(self, log: list[str]) -> None:
        @scope.application
        def thing() -> AbstractAsyncContextManager[str]:
            return logged(log, "thing")

        with pytest.raises(SystemExit):
            async with opened(thing):
                raise SystemExit(3)
        assert log == ["open thing", "close thing"]

    async def test_a_factory_that_awaits_something_cancelled_fails_by_name(self) -> None:
        @scope.application
        async def odd() -> str:
            task = asyncio.get_running_loop().create_task(anyio.sleep_forever())
            task.cancel()
            await task
            return "odd"

        with pytest.raises(StartupError, match=r"odd .* something it awaited was cancelled"):
            async with opened(odd):
                raise AssertionError("it must not serve")

    async def test_a_cancellation_from_outside_anyio_while_closing_does_not_stop_the_closing(
        self, log: list[str]
    ) -> None:
        closing = anyio.Event()
        go_on = anyio.Event()

        @scope.application
        def below() -> AbstractAsyncContextManager[str]:
            return logged(log, "below")

        @scope.application
        async def slow(on: str = provided(below)) -> AsyncGenerator[str]:
            async with logged(log, "slow"):
                yield on
                closing.set()
                await go_on.wait()

        async def serve() -> None:
            async with opened(slow):
                pass

        task = asyncio.get_running_loop().create_task(serve())
        await closing.wait()
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["open below", "open slow", "close slow", "close below"]

    def test_what_lives_for_a_request_is_not_opened_by_a_lifespan(self) -> None:
        @scope.request
        async def short() -> str:
            return "short"

        with (
            pytest.raises(WiringError, match="short is named in lifespan_with"),
            TestClient(FastAPI(lifespan=lifespan_with(short))),
        ):
            raise AssertionError("it must not start")

    def test_one_application_started_twice_at_once_has_two_sets_of_instances(self) -> None:
        @scope.application
        async def fresh() -> object:
            return object()

        app = serving(fresh)
        with TestClient(app) as one:
            with TestClient(app) as other:
                assert one.get("/0").json() != other.get("/0").json()
            assert one.get("/0").status_code == 200

    def test_a_sub_application_may_be_mounted_on_two(self) -> None:
        @scope.application
        async def number() -> int:
            return 7

        sub = serving(number)
        first, second = FastAPI(lifespan=lifespan), FastAPI(lifespan=lifespan)
        first.mount("/", sub)
        second.mount("/", sub)
        with TestClient(first) as one, TestClient(second) as other:
            assert one.get("/0").json() == other.get("/0").json() == "7"


def test_the_log_names_what_is_away(caplog: pytest.LogCaptureFixture) -> None:
    @scope.application
    async def spare() -> str:
        return "spare"

    @scope.application(fallback=spare)
    async def main() -> str:
        raise OSError("away")

    with caplog.at_level(logging.WARNING, "heykit.lifetime"), TestClient(serving(main)):
        pass
    assert "is away; spare serves instead" in caplog.text


async def test_one_that_is_opened_again_while_the_application_ends_does_not_hold_it_up() -> None:
    attempts: list[int] = []

    @scope.application(lazy=True)
    async def thing() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not yet")
        await anyio.sleep_forever()
        return "thing"

    async def ask(app: FastAPI) -> None:
        with contextlib.suppress(Unavailable, NotOpen):
            async with request_scope(app) as get:
                await get(thing)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as users, running(app := serving(thing)):
            await ask(app)
            users.start_soon(ask, app)
            await until(lambda: len(attempts) == 2)


async def test_a_crash_whose_clean_up_hangs_ends_at_its_limit() -> None:
    crash = anyio.Event()

    @scope.application(timeout=0.01)
    async def fragile() -> AsyncGenerator[str]:
        async def background() -> None:
            await crash.wait()
            raise ConnectionError("gone")

        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(background)
                yield "fragile"
        finally:
            await anyio.sleep_forever()

    with anyio.fail_after(5):
        async with running(app := serving(fragile)):
            crash.set()
            await until(instance_of(app, fragile).ended.is_set)
            error = instance_of(app, fragile).error
    assert str(error) == "it failed, and took more than 0.01 s to clean up"


async def test_one_that_fails_again_and_again_is_kept_once() -> None:
    @scope.application(lazy=True)
    async def thing() -> str:
        raise OSError("away")

    owned: list[int] = []
    async with running(app := serving(thing)):
        for often in (3, 17):  # to look through all objects takes long, where many tests have run before
            for _ in range(often):
                with contextlib.suppress(Unavailable):
                    async with request_scope(app) as get:
                        await get(thing)
            gc.collect()
            owned.append(sum(isinstance(found, Instance) and found.name == "thing" for found in gc.get_objects()))
    assert owned[1] <= owned[0]
