"""The health pages: what is open, and how it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import anyio
import anyio.to_thread
import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.requests import HTTPConnection
from fastapi.testclient import TestClient

from heykit import lifespan, provided, scope
from heykit.cache import memory_cache
from heykit.config import Loaded, Secret, explain, mapping
from heykit.health import Health
from heykit.lifetime import Opened
from heykit.scope import Provider
from heykit.web import health_router
from heykit.web.checks import Check, Checks


@dataclass
class Thing:
    """Something with a health that a test can set."""

    answer: Health | Exception
    asked: int = 0

    async def health(self) -> Health:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass(frozen=True)
class Settings:
    secret: Secret[str]
    name: str = "heykit"


def thing(value: Thing) -> Provider[Thing]:
    async def database() -> Thing:
        return value

    return scope.application(database)


@contextmanager
def served(*providers: Provider[Any], details: Any = None) -> Iterator[TestClient]:
    app = FastAPI(lifespan=lifespan, dependencies=[Depends(provider) for provider in providers])
    app.get("/")(lambda: None)
    outer = FastAPI(lifespan=lifespan)
    outer.include_router(health_router(version="1.2", details=details))
    outer.mount("/", app)
    with TestClient(outer) as client:
        yield client


def test_a_page_has_status_version_timestamp_and_a_check_each_provider() -> None:
    with served(thing(Thing(Health("pass", "resource", "well", {"in_use": 1})))) as client:
        response = client.get("/health")
    body = response.json()
    assert (response.status_code, body["status"], body["version"]) == (200, "pass", "1.2")
    assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    assert body["checks"]["database"] == {
        "status": "pass",
        "kind": "resource",
        "scope": "application",
        "state": "open",
        "reason": "well",
        "figures": {"in_use": 1},
    }


@pytest.mark.parametrize(("status", "http"), [("pass", 200), ("warn", 200), ("fail", 503)])
@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/resources", "/health/dependencies"])
def test_pass_and_warn_answer_200_and_fail_503(path: str, status: Any, http: int) -> None:
    with served(thing(Thing(Health(status, "resource")))) as client:
        response = client.get(path)
    assert (response.status_code, response.json()["status"]) == (http, status)


def test_liveness_touches_nothing() -> None:
    broken = Thing(ValueError("broken"))
    with served(thing(broken)) as client:
        assert client.get("/health/live").json()["status"] == "pass"
    assert broken.asked == 0


def test_each_kind_shows_on_its_own_page() -> None:
    @scope.application
    async def videos() -> AsyncGenerator[object]:
        async with memory_cache(int) as cache:
            yield cache

    @scope.application
    async def configuration() -> Loaded[Settings]:
        return explain(Settings, [mapping({"secret": "hidden words"}, name="test")])

    @scope.application
    async def passwords() -> Thing:
        return Thing(Health("pass", "security"))

    @scope.application
    async def mailer() -> object:
        return object()

    @scope.application
    async def disk() -> Thing:
        return Thing(Health("pass", "resource"))

    with served(videos, configuration, passwords, mailer, disk) as client:
        pages = {p: client.get(f"/health/{p}").json() for p in ("resources", "services", "cache", "config", "security")}
    assert {page: list(body["checks"]) for page, body in pages.items()} == {
        "resources": ["disk"],
        "services": ["health_checks", "mailer"],
        "cache": ["videos"],
        "config": ["configuration"],
        "security": ["passwords"],
    }
    assert pages["cache"]["checks"]["videos"]["figures"]["hits"] == 0
    assert pages["config"]["settings"] == [{"key": "secret", "origin": "test"}, {"key": "name", "origin": "default"}]
    assert "hidden words" not in str(pages)


def test_dependencies_lists_every_provider_with_scope_and_state_and_counts_them() -> None:
    @scope.application
    async def long() -> int:
        return 1

    @scope.request
    async def short(of: int = provided(long)) -> int:
        return of

    @scope.request
    async def who(connection: HTTPConnection) -> str:
        return str(connection.headers["who"])

    @scope.keyed(by=who)
    async def kept(name: str = provided(who)) -> str:
        return name

    with served(short, kept) as client:
        client.get("/", headers={"who": "ada"})
        body = client.get("/health/dependencies").json()
    shown = {name: (check["scope"], check["state"], check["figures"]) for name, check in body["checks"].items()}
    assert shown == {
        "health_checks": ("application", "open", {}),
        "long": ("application", "open", {}),
        "short": ("request", "opened per request", {}),
        "who": ("request", "opened per request", {}),
        "kept": ("keyed", "opened per key", {"open": 1}),
    }
    assert (body["total"], body["open"]) == (5, 2)


def test_a_fallback_that_serves_is_a_warning() -> None:
    @scope.application
    async def memory() -> Thing:
        return Thing(Health("pass", "cache"))

    @scope.application(fallback=memory)
    async def redis() -> Thing:
        raise ConnectionError

    with served(redis) as client:
        response = client.get("/health")
    check = response.json()["checks"]["redis"]
    assert (response.status_code, check["status"], check["state"]) == (200, "warn", "fallback")


def test_a_check_that_raises_fails_without_telling_what_it_knew() -> None:
    with served(thing(Thing(ValueError("the password")))) as client:
        response = client.get("/health")
    assert response.status_code == 503
    assert response.json()["checks"]["database"]["reason"] == "its check raised ValueError"


def test_reasons_and_figures_are_for_those_who_may_see_them() -> None:
    async def nobody() -> None:
        raise HTTPException(403)

    with served(thing(Thing(Health("pass", "resource", "host:5432", {"in_use": 1}))), details=nobody) as client:
        check = client.get("/health").json()["checks"]["database"]
        refused = [client.get(f"/health/{page}").status_code for page in ("dependencies", "resources", "config")]
        assert client.get("/health/live").status_code == 200
    assert (check["status"], check["reason"], check["figures"]) == ("pass", "", {})
    assert refused == [403, 403, 403]


def held(**values: object) -> dict[str, Opened]:
    return {name: Opened(name, "application", "open", value, 0.0, None) for name, value in values.items()}


async def asked(values: dict[str, Opened], limit: float = 2.0) -> Mapping[str, Check]:
    """One round of checks."""
    async with anyio.create_task_group() as tasks:
        found = await Checks(tasks, limit=limit).run(values)
        tasks.cancel_scope.cancel()
    return found


async def test_checks_run_side_by_side() -> None:
    """Each of two waits for the other to be asked."""
    both = anyio.Event()
    count = 0

    class Waiting:
        async def health(self) -> Health:
            nonlocal count
            count += 1
            if count == 2:
                both.set()
            await both.wait()
            return Health("pass", "service")

    found = await asked(held(one=Waiting(), two=Waiting()))
    assert {check.status for check in found.values()} == {"pass"}


async def test_a_check_that_hangs_fails_in_time_and_holds_nobody_up() -> None:
    class Hanging:
        async def health(self) -> Health:
            await anyio.sleep_forever()
            raise AssertionError

    found = await asked(held(hangs=Hanging(), well=Thing(Health("pass", "service"))), limit=0.01)
    assert (found["hangs"].status, found["hangs"].reason) == ("fail", "no answer within 0.01 s")
    assert found["well"].status == "pass"


async def test_a_crowd_of_probes_costs_one_round_a_second() -> None:
    now = 100.0
    probed = Thing(Health("pass", "service"))
    async with anyio.create_task_group() as tasks:
        checks = Checks(tasks, clock=lambda: now)
        async with anyio.create_task_group() as crowd:
            for _ in range(50):
                crowd.start_soon(checks.run, held(thing=probed))
        assert probed.asked == 1
        now += 0.9
        await checks.run(held(thing=probed))
        assert probed.asked == 1
        now += 0.1
        await checks.run(held(thing=probed))
        assert probed.asked == 2


async def test_one_who_leaves_while_asking_takes_nobody_along() -> None:
    class Slow:
        async def health(self) -> Health:
            await gate.wait()
            return Health("pass", "service")

    gate = anyio.Event()
    leaving = anyio.CancelScope()

    async def leave() -> None:
        with leaving:
            await checks.run(held(slow=Slow()))

    found: list[str] = []

    async def stay() -> None:
        found.append((await checks.run(held(slow=Slow())))["slow"].status)

    async with anyio.create_task_group() as crowd:
        checks = Checks(crowd)
        crowd.start_soon(leave)
        await anyio.wait_all_tasks_blocked()
        crowd.start_soon(stay)
        await anyio.wait_all_tasks_blocked()
        leaving.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert found == ["pass"]


async def test_what_failed_stays_on_its_page() -> None:
    async with anyio.create_task_group() as tasks:
        checks = Checks(tasks, keep=0)
        await checks.run(held(database=Thing(Health("pass", "resource"))))
        crashed = {"database": Opened("database", "application", "failed", None, 0.0, "OSError: /secret/path")}
        found = await checks.run(crashed)
    assert (found["database"].kind, found["database"].reason) == ("resource", "OSError: the log has the whole of it")


async def test_a_check_that_no_cancellation_reaches_holds_nobody_up() -> None:
    """Nor is it asked a second time while the first is under way."""
    release = threading.Event()
    asked_for: list[str] = []

    class InThread:
        async def health(self) -> Health:
            asked_for.append("health")
            await anyio.to_thread.run_sync(release.wait)
            return Health("pass", "resource")

    async with anyio.create_task_group() as tasks:
        checks = Checks(tasks, limit=0.01, keep=0)
        found = [await checks.run(held(slow=InThread())) for _ in range(2)]
        release.set()
    assert [round["slow"].status for round in found] == ["fail", "fail"]
    assert asked_for == ["health"]


async def test_a_check_that_awaits_something_cancelled_fails() -> None:
    class Broken:
        async def health(self) -> Health:
            task = asyncio.get_running_loop().create_task(anyio.sleep_forever())
            task.cancel()
            await task
            raise AssertionError

    found = await asked(held(broken=Broken(), well=Thing(Health("pass", "service"))))
    assert (found["broken"].status, found["well"].status) == ("fail", "pass")


@pytest.mark.parametrize("value", [3, "text", Thing])
async def test_what_has_no_health_to_ask_for_is_a_service_that_is_open(value: object) -> None:
    found = await asked(held(value=value))
    assert (found["value"].status, found["value"].kind) == ("pass", "service")


async def test_a_health_of_another_kind_is_a_warning() -> None:
    class Other:
        health = 7

        class Deep:
            def health(self) -> dict[str, str]:
                return {"status": "ok"}

    found = await asked(held(number=Other(), table=Other.Deep()))
    assert found["number"].status == "pass"
    assert (found["table"].status, found["table"].reason) == ("warn", "its health() gives dict, not a Health")


def test_two_of_one_name_do_not_hide_each_other() -> None:
    failing, well = thing(Thing(Health("fail", "resource"))), thing(Thing(Health("pass", "resource")))
    with served(failing, well) as client:
        response = client.get("/health/resources")
    assert response.status_code == 503
    assert [name.rpartition(".")[2] for name in response.json()["checks"]] == ["database#1", "database#2"]
