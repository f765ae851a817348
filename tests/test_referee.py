"""The referee: whatever the graph, providers behave as FastAPI's own resolution of the same graph does."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from tests.graphs import Case, build, cases, outcome


@given(cases())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_graph_of_providers_does_what_the_same_graph_of_plain_functions_does(case: Case) -> None:
    """Same values, same calls, same order of opening and closing, same errors, same 422 bodies, same OpenAPI."""
    plain_log: list[str] = []
    plain = build(case, plain_log, native=True)
    ours_log: list[str] = []
    ours = build(case, ours_log, native=False)

    assert outcome(plain, case, plain_log) == outcome(ours, case, ours_log)
    assert plain.openapi() == ours.openapi()
