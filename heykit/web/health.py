"""Health pages: what the application holds open and how it does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final, TypeVar

import anyio
from fastapi import APIRouter, Depends, Response, params
from fastapi.requests import HTTPConnection

from heykit import provided, scope
from heykit.config import Loaded
from heykit.health import Kind, Status
from heykit.lifetime import instances, short_lived
from heykit.scope import Provider
from heykit.web.checks import Check, Checks


@dataclass(frozen=True)
class Report:
    """A health page. `timestamp` is ISO 8601, UTC."""

    status: Status
    version: str
    timestamp: str
    checks: Mapping[str, Check] = field(default_factory=dict)


R = TypeVar("R", bound=Report)


@dataclass(frozen=True)
class DependenciesReport(Report):
    """Every provider: `total` of them, `open` of which the application holds open."""

    total: int = 0
    open: int = 0


@dataclass(frozen=True)
class Setting:
    """Where a setting came from; its value is not told."""

    key: str
    origin: str


@dataclass(frozen=True)
class ConfigReport(Report):
    """The configuration's settings by name and origin."""

    settings: Sequence[Setting] = ()


_PAGES: Final[Mapping[str, Kind]] = {
    "resources": "resource",
    "services": "service",
    "cache": "cache",
    "security": "security",
}


def health_router(*, details: Callable[..., object] | None = None, version: str = "") -> APIRouter:
    """Make the health pages: `/health`, and beneath it `live`, `ready`, `dependencies`, `resources`, `services`,
    `cache`, `config` and `security`.

    `details` is a dependency that lets pass who may see reasons and figures (`require_role(user, "admin")`); without
    one everybody may. Each page answers 200 for pass and warn, 503 for fail; `live` touches nothing.
    """  # noqa: D205 - the pages are one list
    router = APIRouter(prefix="/health", tags=["health"])
    allowed = [] if details is None else [Depends(details)]

    @scope.application(timeout=5)
    async def health_checks() -> AsyncGenerator[Checks]:
        async with anyio.create_task_group() as tasks:
            yield Checks(tasks)
            tasks.cancel_scope.cancel()

    async def live() -> Report:
        return _report(Report, version, {})

    _add(router, "/live", live, [])
    for path in ("", "/ready"):
        _add(router, path, _overview(health_checks, version, brief=details is not None), [])
    _add(router, "/dependencies", _dependencies(health_checks, version), allowed, DependenciesReport)
    _add(router, "/config", _config(health_checks, version), allowed, ConfigReport)
    for path, kind in _PAGES.items():
        _add(router, f"/{path}", _of_kind(health_checks, version, kind), allowed)
    return router


Page = Callable[..., Awaitable[Report]]


def _add(
    router: APIRouter, path: str, page: Page, allowed: Sequence[params.Depends], model: type[Report] = Report
) -> None:
    name = f"health{path.replace('/', '_')}"
    page.__name__ = name  # what a drawing calls it
    router.add_api_route(
        path,
        page,
        dependencies=allowed,
        response_model=model,
        responses={503: {"model": model, "description": "Something that is needed fails"}},
        name=name,
    )


def _overview(checks: Provider[Checks], version: str, *, brief: bool) -> Page:
    async def overview(connection: HTTPConnection, response: Response, asked: Checks = provided(checks)) -> Report:
        found = await asked.run(instances(connection))
        shown = {name: replace(check, reason="", figures={}) for name, check in found.items()} if brief else found
        return _report(Report, version, shown, response)

    return overview


def _of_kind(checks: Provider[Checks], version: str, kind: Kind) -> Page:
    async def of_kind(connection: HTTPConnection, response: Response, asked: Checks = provided(checks)) -> Report:
        found = await asked.run(instances(connection))
        return _report(Report, version, _only(found, kind), response)

    return of_kind


def _dependencies(checks: Provider[Checks], version: str) -> Page:
    async def dependencies(
        connection: HTTPConnection, response: Response, asked: Checks = provided(checks)
    ) -> DependenciesReport:
        found = dict(await asked.run(instances(connection)))
        serving = sum(check.state in {"open", "fallback"} for check in found.values())
        for name, one in short_lived(connection).items():
            per, figures = ("request", {}) if one.open is None else ("key", {"open": one.open})
            found[name] = Check("pass", "service", one.scope, f"opened per {per}", figures=figures)
        report = _report(DependenciesReport, version, found, response)
        return replace(report, total=len(found), open=serving)

    return dependencies


def _config(checks: Provider[Checks], version: str) -> Page:
    async def config(connection: HTTPConnection, response: Response, asked: Checks = provided(checks)) -> ConfigReport:
        held = instances(connection)
        report = _report(ConfigReport, version, _only(await asked.run(held), "config"), response)
        return replace(report, settings=list(_settings(opened.value for opened in held.values())))

    return config


def _settings(values: Iterable[object]) -> Iterable[Setting]:
    for value in values:
        if isinstance(value, Loaded):
            yield from (Setting(entry.key, entry.origin) for entry in value.entries)


def _only(checks: Mapping[str, Check], kind: Kind) -> Mapping[str, Check]:
    return {name: check for name, check in checks.items() if check.kind == kind}


def _report(form: type[R], version: str, checks: Mapping[str, Check], response: Response | None = None) -> R:
    status = _worst(check.status for check in checks.values())
    if response is not None:
        response.headers["Cache-Control"] = "no-store"
        response.status_code = 503 if status == "fail" else 200
    return form(status, version, datetime.now(UTC).isoformat(), checks)


def _worst(statuses: Iterable[Status]) -> Status:
    found = set(statuses)
    return "fail" if "fail" in found else "warn" if "warn" in found else "pass"
