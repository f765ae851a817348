"""A drawing shows every dependency once, in the box of its lifetime, pointing to what it needs."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from hypothesis import given
from hypothesis import strategies as st

from heykit import provided, scope, wiring
from heykit._drawing import INK, LOOKS, Form, draw
from heykit._graph import Graph, Node, Use
from heykit.scope import Provider

FORMS: list[Form] = ["mermaid", "dot"]
in_both_forms = pytest.mark.parametrize("form", FORMS)


@dataclass(frozen=True)
class Drawn:
    """What a reader of a drawing sees: labels by box, and arrows between labels with what is written on them."""

    boxes: Mapping[str, list[str]]
    arrows: Mapping[tuple[str, str], str]
    red: set[str]
    red_arrows: set[tuple[str, str]]

    @property
    def labels(self) -> list[str]:
        return [label for title, labels in self.boxes.items() if title != "legend" for label in labels]


def drawn(graph: Graph, form: Form) -> Drawn:
    """Read a drawing as Mermaid or Graphviz would."""
    return _read_mermaid(draw(graph, form)) if form == "mermaid" else _read_dot(draw(graph, form))


def _read_mermaid(text: str) -> Drawn:
    labels: dict[str, str] = {}
    boxes: dict[str, list[str]] = {}
    ties: list[tuple[str, str, str]] = []
    red: set[str] = set()
    red_ties: set[int] = set()
    for line in map(str.strip, text.splitlines()):
        if found := re.fullmatch(r'subgraph \w+\["([a-z ]+)"\]', line):
            boxes[found[1]] = []
        elif found := re.fullmatch(r'(\w+)[(\[{/]+"([^"]*)"[)\]}/\\]+:::(\w+)', line):
            shown = re.sub(r"#(\d+);", lambda number: chr(int(number[1])), found[2].replace("<br/>", "\n"))
            labels[found[1]] = shown
            list(boxes.values())[-1].append(shown)
        elif found := re.fullmatch(r"(\w+) (?:-->|-\. (\w+) \.->|== (\w+) ==>) (\w+)", line):
            ties.append((found[1], found[4], found[2] or found[3] or ""))
        elif found := re.fullmatch(r"class ([\w,]+) cycle", line):
            red = set(found[1].split(","))
        elif found := re.fullmatch(r"linkStyle ([\d,]+) stroke:#d1242f,.*", line):
            red_ties = set(map(int, found[1].split(",")))
        else:
            assert re.match(r"%%|flowchart LR|direction LR|end|class|classDef", line), line
    return Drawn(
        boxes,
        {(labels[start], labels[end]): tie for start, end, tie in ties},
        {labels[name] for name in red},
        {(labels[ties[at][0]], labels[ties[at][1]]) for at in red_ties},
    )


def _read_dot(text: str) -> Drawn:
    labels: dict[str, str] = {}
    boxes: dict[str, list[str]] = {}
    arrows: dict[tuple[str, str], str] = {}
    red: set[str] = set()
    for line in map(str.strip, text.splitlines()):
        if found := re.match(r'graph \[label="([a-z ]+)"', line):
            boxes[found[1]] = []
        elif found := re.fullmatch(r'(\w+) \[label="((?:[^"\\]|\\.)*)"(.*)\]', line):
            shown = re.sub(r"\\(.)", lambda escape: {"n": "\n"}.get(escape[1], escape[1]), html.unescape(found[2]))
            labels[found[1]] = shown
            list(boxes.values())[-1].append(shown)
            red |= {shown} if "#d1242f" in found[3] else set()
        elif found := re.fullmatch(r'(\w+) -> (\w+)(?: \[label="(\w+)".*\])?', line):
            arrows[found[1], found[2]] = found[3] or ""
        else:
            assert re.match(r"digraph|subgraph|graph|node|edge|\}", line), line
    named = {(labels[start], labels[end]): tie for (start, end), tie in arrows.items()}
    reds = {(labels[a], labels[b]) for a, b in re.findall(r'(\w+) -> (\w+) \[label="cycle", color="#d1242f"', text)}
    return Drawn(boxes, named, red, reds)


def named(name: str) -> Callable[..., object]:
    """A plain function of some name."""

    def function() -> str:
        return name

    function.__name__ = name
    return function


def graph_of(*functions: Callable[..., object], arrows: Iterable[tuple[int, int]] = ()) -> Graph:
    """A graph of plain functions, with an arrow from each first to its second."""
    uses: dict[int, list[Use]] = {at: [] for at in range(len(functions))}
    for start, end in arrows:
        uses[start].append(Use(functions[end], functions[start]))
    return Graph({functions[at]: Node(functions[at], (), tuple(found)) for at, found in uses.items()}, (), ())


def circle(*names: str) -> list[Provider[Any]]:
    """Providers each of which needs the next, and the last the first."""
    made: list[Provider[Any]] = [scope.application(_coroutine(name)) for name in names]
    for provider, needed in pairwise([*made, made[0]]):
        parameter = inspect.Parameter("of", inspect.Parameter.KEYWORD_ONLY, default=provided(needed))
        provider.factory.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    return made


def _coroutine(name: str) -> Callable[..., Any]:
    async def function(of: int) -> int:
        return of

    function.__name__ = name
    return function


# ------------------------------------------------------------------------------------------------------------ a service


def header() -> str:
    return "tenant"


@scope.singleton
async def limiter() -> int:
    return 1


@scope.application
async def memory() -> int:
    return 2


@scope.application(fallback=memory)
async def redis(limit: int = provided(limiter)) -> int:
    return limit


@scope.keyed(by=header)
async def pool(client: int = provided(redis)) -> int:
    return client


@scope.session(by=header)
async def hub() -> int:
    return 3


@scope.function
async def transaction(of: int = provided(pool)) -> int:
    return of


@scope.request
async def service(on: int = provided(transaction), of: int = provided(hub)) -> int:
    return on + of


def service_app() -> FastAPI:
    """An application with one of each kind."""
    app = FastAPI()

    @app.get("/")
    async def page(of: int = provided(service), who: str = provided(header)) -> int:
        return of

    return app


@in_both_forms
def test_each_dependency_stands_in_the_box_of_its_lifetime(form: Form) -> None:
    boxes = drawn(wiring.read(service_app()), form).boxes
    assert {title: labels for title, labels in boxes.items() if title != "legend"} == {
        "endpoints": ["page"],
        "plain functions": ["header"],
        "function": ["transaction"],
        "request": ["service"],
        "session": ["hub"],
        "keyed": ["pool"],
        "application": ["memory", "redis"],
        "singleton": ["limiter"],
    }


@in_both_forms
def test_an_arrow_leads_from_what_needs_to_what_is_needed_and_says_where_it_is_a_key_or_a_fallback(form: Form) -> None:
    assert drawn(wiring.read(service_app()), form).arrows == {
        ("page", "service"): "",
        ("page", "header"): "",
        ("service", "transaction"): "",
        ("service", "hub"): "",
        ("transaction", "pool"): "",
        ("pool", "redis"): "",
        ("pool", "header"): "key",
        ("hub", "header"): "key",
        ("redis", "limiter"): "",
        ("redis", "memory"): "fallback",
    }


@in_both_forms
def test_the_legend_explains_the_kinds_that_are_drawn_and_no_other(form: Form) -> None:
    assert drawn(wiring.read(redis), form).boxes["legend"] == [
        "application\none an application",
        "singleton\none an event loop",
    ]


@in_both_forms
def test_what_two_endpoints_need_is_drawn_once(form: Form) -> None:
    app = FastAPI()
    for name in ("first", "second"):
        app.get(f"/{name}", dependencies=[Depends(limiter), Depends(limiter)])(named(name))
    shown = drawn(wiring.read(app), form)
    assert shown.labels == ["first", "second", "limiter"]
    assert shown.arrows == {("first", "limiter"): "", ("second", "limiter"): ""}


@in_both_forms
def test_an_override_stands_where_what_it_replaces_stood_and_says_so(form: Form) -> None:
    app = service_app()
    app.dependency_overrides[limiter] = lambda: 7
    shown = drawn(wiring.read(app), form)
    assert shown.boxes["singleton"] == ["<lambda>\ninstead of limiter"]
    assert ("redis", "<lambda>\ninstead of limiter") in shown.arrows


@in_both_forms
def test_an_empty_wiring_draws_nothing(form: Form) -> None:
    assert drawn(wiring.read(FastAPI()), form).labels == []


# --------------------------------------------------------------------------------------------------------------- cycles


@in_both_forms
def test_a_circle_is_red_and_what_only_leads_to_it_is_not(form: Form) -> None:
    one, _, _ = circle("one", "two", "three")

    @scope.request
    async def outside(of: int = provided(one)) -> int:
        return of

    shown = drawn(wiring.read(outside), form)
    assert shown.red == {"one", "two", "three"}
    assert shown.red_arrows == {("one", "two"), ("two", "three"), ("three", "one")}
    assert shown.arrows["one", "two"] == "cycle"
    assert shown.arrows["outside", "one"] == ""


@in_both_forms
def test_what_needs_itself_is_a_circle(form: Form) -> None:
    (alone,) = circle("alone")
    assert drawn(wiring.read(alone), form).red_arrows == {("alone", "alone")}


@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=20), st.sampled_from(FORMS))
def test_an_arrow_is_red_exactly_where_its_end_leads_back_to_its_start(
    arrows: set[tuple[int, int]], form: Form
) -> None:
    functions = [named(f"n{at}") for at in range(8)]
    shown = drawn(graph_of(*functions, arrows=sorted(arrows)), form)
    assert set(shown.arrows) == {(f"n{a}", f"n{b}") for a, b in arrows}
    assert shown.red_arrows == {(f"n{a}", f"n{b}") for a, b in arrows if a in reached_from(b, arrows)}
    assert shown.red == {name for arrow in shown.red_arrows for name in arrow}


def reached_from(start: int, arrows: set[tuple[int, int]]) -> set[int]:
    """What can be reached, itself included."""
    found = {start}
    for _ in range(8):
        found |= {end for begin, end in arrows if begin in found}
    return found


def test_a_chain_of_ten_thousand_is_drawn_without_recursion() -> None:
    functions = [named(f"n{at}") for at in range(10_000)]
    assert draw(graph_of(*functions, arrows=pairwise(range(10_000)))).count("-->") == 9_999


# ---------------------------------------------------------------------------------------------------------------- names

printed = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1)
hostile = st.lists(
    st.sampled_from(['"', "\\", "|", "<b>", "]", ")", "}", "#quot;", "&lt;", "`", "%%", "end", ";", "ж"])
)


@given(st.lists(printed | hostile.map("".join).filter(bool), unique=True, max_size=6), st.sampled_from(FORMS))
def test_whatever_a_function_is_called_is_what_is_read(names: list[str], form: Form) -> None:
    assert sorted(drawn(graph_of(*map(named, names)), form).labels) == sorted(names)


@in_both_forms
@pytest.mark.parametrize("name", ["end", "graph", "call", "click", "class", "default", "o", "x", "subgraph", "node"])
def test_a_name_that_is_a_keyword_of_the_form_is_a_name(name: str, form: Form) -> None:
    text = draw(graph_of(named(name)), form)
    assert drawn(graph_of(named(name)), form).labels == [name]
    assert f"plain_{name}" in text


@in_both_forms
def test_a_name_stays_on_one_line_and_is_never_empty(form: Form) -> None:
    assert drawn(graph_of(named("a\n\tb\x00"), named("")), form).labels == ["?", "a b"]


@in_both_forms
def test_equal_names_of_one_module_are_told_apart_by_number(form: Form) -> None:
    assert drawn(graph_of(named("lambda"), named("lambda")), form).labels == ["lambda", "lambda#2"]


@in_both_forms
def test_equal_names_of_several_modules_are_told_apart_by_module_and_then_by_number(form: Form) -> None:
    here, also_here, elsewhere = named("database"), named("database"), named("database")
    elsewhere.__module__ = "reports"
    assert drawn(graph_of(here, also_here, elsewhere, named("cache")), form).labels == [
        "cache",
        "reports.database",
        f"{__name__}.database",
        f"{__name__}.database#2",
    ]


@given(st.lists(st.sampled_from(["a", "a_2", "a-2", "a 2", "A", "m.a", "m.a#2"]), max_size=8), st.sampled_from(FORMS))
def test_no_two_are_drawn_as_one(names: list[str], form: Form) -> None:
    shown = drawn(graph_of(*map(named, names)), form).labels
    assert len(set(shown)) == len(names)


# -------------------------------------------------------------------------------------------------- the same every time


@in_both_forms
def test_the_order_of_routes_changes_nothing(form: Form) -> None:
    forth, back = (wiring.read(*roots) for roots in ([redis, pool, hub], [hub, pool, redis]))
    assert draw(forth, form) == draw(back, form)


@in_both_forms
def test_something_new_changes_no_line_of_what_was_there(form: Form) -> None:
    before, after = draw(wiring.read(redis), form), draw(wiring.read(redis, hub), form)
    assert set(before.splitlines()) <= set(after.splitlines())


def test_forty_dependencies_fit_what_mermaid_takes() -> None:
    functions = [named(f"a_rather_long_name_of_a_function_{at}") for at in range(40)]
    assert len(draw(graph_of(*functions, arrows=[(a, b) for a in range(40) for b in range(a)][:120]))) < 50_000


def test_another_form_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="form= is one of mermaid, dot: not 'svg'"):
        draw(wiring.read(redis), "svg")  # type: ignore[arg-type]


# -------------------------------------------------------------------------------------------------------------- colours


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_text_is_readable_on_every_fill(look: Any) -> None:
    """WCAG 2.2, 1.4.6: a contrast of at least 7 to 1."""
    assert contrast(INK, look.fill) >= 7


def test_no_two_lifetimes_have_one_shape_or_one_fill() -> None:
    assert len({(look.opens, look.closes) for look in LOOKS.values()}) == len(LOOKS)
    assert len({(look.shape, look.style) for look in LOOKS.values()}) == len(LOOKS)
    assert len({look.fill for look in LOOKS.values()}) == len(LOOKS)


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of `#rrggbb`."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
