"""The referee: whatever the graph, providers behave as FastAPI's own resolution of the same graph does."""

from __future__ import annotations

from fastapi.routing import APIRoute
from hypothesis import HealthCheck, event, given, settings

from heykit import CompiledRoute
from tests.graphs import Case, build, cases, outcome

GRAPHS = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def compare(case: Case, route_class: type[APIRoute]) -> None:
    """Same values, same calls, same order of opening and closing, same errors, same 422 bodies, same OpenAPI."""
    plain_log: list[str] = []
    plain = build(case, plain_log, native=True)
    ours_log: list[str] = []
    ours = build(case, ours_log, native=False, route_class=route_class)

    expected = outcome(plain, case, plain_log)
    event(f"status {expected.status}")
    assert expected == outcome(ours, case, ours_log)
    assert plain.openapi() == ours.openapi()


@given(cases())
@GRAPHS
def test_a_graph_of_providers_does_what_the_same_graph_of_plain_functions_does(case: Case) -> None:
    compare(case, APIRoute)


@given(cases(ours=True))
@GRAPHS
def test_providers_that_parse_nothing_do_so_too(case: Case) -> None:
    compare(case, APIRoute)


@given(cases(ours=True))
@GRAPHS
def test_a_compiled_route_does_what_fastapi_does(case: Case) -> None:
    compare(case, CompiledRoute)


@given(cases())
@GRAPHS
def test_a_compiled_route_leaves_to_fastapi_what_it_cannot_compile(case: Case) -> None:
    compare(case, CompiledRoute)
