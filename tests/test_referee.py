"""The referee: whatever the graph, providers behave as FastAPI's own resolution of the same graph does."""

from __future__ import annotations

import anyio
from fastapi import FastAPI
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, event, given, settings

from heykit import CompiledRoute
from heykit.compiled import uncompiled
from heykit.testing import overridden
from tests.asking import Outcome, outcome
from tests.graph_apps import Log, build
from tests.graphs import Case, cases

GRAPHS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def compare(case: Case, route_class: type[APIRoute]) -> FastAPI:
    """Same values, calls, order of opening and closing, errors, responses and OpenAPI."""

    def built(*, native: bool) -> tuple[FastAPI, Outcome]:
        log = Log()
        app, fakes = build(case, log, native=native, route_class=APIRoute if native else route_class)
        if native:
            app.dependency_overrides.update(fakes)
            return app, anyio.run(outcome, app, case, log)
        with overridden(app, fakes):
            return app, anyio.run(outcome, app, case, log)

    plain, expected = built(native=True)
    ours, found = built(native=False)
    event(f"{expected.messages[0][:9] if expected.messages else 'no response'}, raised: {', '.join(expected.raised)}")
    assert expected == found
    assert plain.openapi() == ours.openapi()
    return ours


def assert_compiled(case: Case) -> None:
    """All but what runs in a thread."""
    left = {*uncompiled(compare(case, CompiledRoute)).values()}
    in_thread = "its endpoint runs in a thread, and so does the validation of what it returns"
    assert left == ({in_thread} if case.in_thread else set())


@given(cases())
@GRAPHS
def test_a_graph_of_providers_does_what_the_same_graph_of_plain_functions_does(case: Case) -> None:
    compare(case, APIRoute)


@given(cases(ours=True))
@GRAPHS
def test_providers_that_parse_nothing_do_so_too(case: Case) -> None:
    compare(case, APIRoute)


@given(cases())
@GRAPHS
def test_a_compiled_route_does_what_fastapi_does(case: Case) -> None:
    assert_compiled(case)


@given(cases(ours=True))
@GRAPHS
def test_a_compiled_route_of_providers_that_parse_nothing_does_so_too(case: Case) -> None:
    assert_compiled(case)
