"""Random graphs of dependencies, and what may happen to a request that needs them: drawn as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from hypothesis import strategies as st

Lifetime = Literal["application", "request", "function"]
Form = Literal["coroutine", "generator", "manager", "sync", "sync_generator", "class", "instance"]
Asks = Literal[
    "nothing", "header", "query", "body", "cookie", "connection", "request", "response", "background", "scopes"
]
Fails = Literal["never", "before", "before_http", "after", "swallows"]
Ends = Literal["returns", "response", "streams", "http", "error", "invalid"]
Cancelled = Literal["never", "endpoint", "closing", "pending"]

CLOSING: frozenset[Form] = frozenset({"generator", "manager", "sync_generator"})
PROVIDED: tuple[Form, ...] = ("coroutine", "generator", "manager")
PLAIN: tuple[Form, ...] = ("coroutine", "generator", "sync", "sync_generator", "class", "instance")


@dataclass(frozen=True)
class Node:
    """One dependency. `plain` ones are FastAPI's own functions in both builds; only they may be asked for uncached."""

    name: str
    plain: bool
    lifetime: Lifetime
    form: Form
    needs: tuple[int, ...]
    asks: Asks
    fails: Fails
    pauses: bool  # whether its closing waits for something
    holds: bool  # a time limit, from before its `yield` to its end
    cached: bool
    secured: bool  # asked for by `Security` with a scope of its own

    @property
    def closes(self) -> bool:
        return self.form in CLOSING


@dataclass(frozen=True)
class Override:
    """A fake for a node: `generator` where the node closes too."""

    index: int
    generator: bool


@dataclass(frozen=True)
class Case:
    """A graph, where its dependencies are named, how its endpoint ends, what the client sends, and what befalls it."""

    nodes: tuple[Node, ...]
    on_application: tuple[int, ...]
    on_router: tuple[int, ...]
    on_inner: tuple[int, ...]
    on_outer: tuple[int, ...]
    on_endpoint: tuple[int, ...]
    overrides: tuple[Override, ...]
    included_again: bool  # under another path, without the dependencies of the inclusions
    asked_again: bool  # there
    ends: Ends
    sync: bool
    parses: bool  # whether the endpoint has a parameter of its own
    takes_request: bool
    adds_task: bool
    sends_own: bool
    sends_header: bool
    sends_query: bool
    sends_body: bool
    sends_cookie: bool
    leaves: bool  # the client, in the middle of the response
    cancelled: Cancelled

    @property
    def in_thread(self) -> bool:
        """Whether the endpoint is no coroutine function; one that waits, or cancels, must be."""
        return self.sync and self.cancelled not in {"endpoint", "pending"}


@st.composite
def cases(draw: st.DrawFn, *, most: int = 7, ours: bool = False) -> Case:
    """Draw a case; with `ours`, one of providers alone that parse nothing."""
    nodes: list[Node] = []
    # Scopes of both lifetimes could not be left in their order.
    holders = draw(st.sampled_from(_HOLDERS))
    for index in range(draw(st.integers(1, most))):
        nodes.append(draw(_nodes(index, nodes, holders, ours=ours)))
    some = st.lists(st.integers(0, len(nodes) - 1), max_size=2, unique=True).map(tuple)
    seldom = st.one_of(st.just(()), st.just(()), some)
    faked = draw(st.one_of(st.just(()), st.just(()), some))
    included_again = draw(st.booleans())
    return Case(
        nodes=tuple(nodes),
        on_application=draw(seldom),
        on_router=draw(some),
        on_inner=draw(seldom),
        on_outer=draw(some),
        on_endpoint=draw(st.lists(st.integers(0, len(nodes) - 1), min_size=1, max_size=4, unique=True).map(tuple)),
        # A fake of ours is opened once also where FastAPI would call it for each set of scopes: `test_testing.py`.
        overrides=tuple(
            Override(i, nodes[i].closes and draw(st.booleans())) for i in faked if not _reaches_scopes(i, nodes)
        ),
        included_again=included_again,
        asked_again=included_again and draw(st.booleans()),
        ends=draw(st.sampled_from(_ENDS)),
        sync=draw(st.sampled_from([False, False, False, True])),
        parses=draw(st.booleans()),
        takes_request=draw(st.booleans()),
        adds_task=draw(st.booleans()),
        leaves=draw(st.sampled_from([False, False, False, True])),
        cancelled=draw(st.sampled_from(_CANCELLED)),
        sends_own=draw(_USUALLY),
        sends_header=draw(_USUALLY),
        sends_query=draw(_USUALLY),
        sends_body=draw(_USUALLY),
        sends_cookie=draw(_USUALLY),
    )


def _reaches_scopes(index: int, nodes: Sequence[Node]) -> bool:
    node = nodes[index]
    return node.asks == "scopes" or node.secured or any(_reaches_scopes(need, nodes) for need in node.needs)


_USUALLY = st.sampled_from([True, True, True, False])
_ENDS: tuple[Ends, ...] = ("returns", "returns", "returns", "response", "streams", "http", "error", "invalid")
_CANCELLED: tuple[Cancelled, ...] = ("never", "never", "never", "endpoint", "closing", "closing", "pending")


@st.composite
def _nodes(draw: st.DrawFn, index: int, earlier: Sequence[Node], holders: Lifetime, *, ours: bool) -> Node:
    plain = not ours and draw(st.sampled_from([False, False, True]))
    lifetime = draw(st.sampled_from(_lifetimes(plain=plain)))
    name = f"n{index}"
    if lifetime == "application":
        return Node(
            name, plain, lifetime, "coroutine", (), "nothing", "never",
            pauses=False, holds=False, cached=True, secured=False,
        )  # fmt: skip
    form = draw(st.sampled_from(PLAIN if plain else PROVIDED))
    wanted = draw(st.lists(st.integers(0, index - 1), max_size=3, unique=True)) if index else []
    # FastAPI refuses it by name: what closes after the response may not hold what closes before.
    needs = [i for i in wanted if not (_is_held(form, lifetime) and _reaches_function(i, earlier))]
    return Node(
        name,
        plain,
        lifetime,
        form,
        tuple(needs),
        draw(st.sampled_from(_UNPARSED)) if ours else draw(_ASKS),
        draw(_FAILS),
        pauses=draw(st.booleans()),
        holds=form in {"generator", "manager"} and lifetime == holders and draw(st.booleans()),
        cached=not plain or draw(st.sampled_from([True, True, True, False])),
        secured=plain and draw(st.sampled_from([False, False, False, True])),
    )


_HOLDERS: tuple[Lifetime, ...] = ("function", "request")
_UNPARSED: tuple[Asks, ...] = ("nothing", "connection")
_ANY: tuple[Asks, ...] = (
    "header", "query", "body", "cookie", "connection", "request", "response", "background", "scopes",
)  # fmt: skip
_ASKS: st.SearchStrategy[Asks] = st.one_of(st.just("nothing"), st.sampled_from(("nothing", *_ANY)))
_FAILURES: tuple[Fails, ...] = ("before", "before_http", "after", "swallows")
_FAILS: st.SearchStrategy[Fails] = st.one_of(st.just("never"), st.just("never"), st.sampled_from(("never", *_FAILURES)))


def _lifetimes(*, plain: bool) -> list[Lifetime]:
    return ["request", "function"] if plain else ["application", "request", "request", "function"]


def _is_held(form: Form, lifetime: Lifetime) -> bool:
    return lifetime == "request" and form in CLOSING


def _reaches_function(index: int, nodes: Sequence[Node]) -> bool:
    node = nodes[index]
    return node.lifetime == "function" or any(_reaches_function(i, nodes) for i in node.needs)
