"""The rules of a wiring: each a function from the graph to the faults it finds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from heykit._annotations import given_type, mismatch
from heykit._graph import Graph, Lives, Node, Use
from heykit._needs import Asks, Dependency, Need, name_of, place_of
from heykit._provider import Provider, closes
from heykit._seen import is_leaf
from heykit.errors import Fault


def faults_of(graph: Graph) -> list[Fault]:
    """Apply every rule; what one function has wrong in several places is said once a place."""
    rules = (
        _cycles,
        _captives,
        _held_transactions,
        _unprovided,
        _parsed_overrides,
        _annotations,
        _places,
        _shared_fallbacks,
    )
    return list(dict.fromkeys(fault for rule in rules for fault in rule(graph)))


def _fault(code: str, holder: Dependency, message: str) -> Fault:
    file, line = place_of(holder.factory if isinstance(holder, Provider) else holder)
    return Fault(code, message, file, line)


def _cycles(graph: Graph) -> Iterator[Fault]:
    done: set[Dependency] = set()
    for start in graph.nodes:
        path: list[Dependency] = []
        waiting: list[tuple[Dependency, bool]] = [(start, False)]
        while waiting:
            target, walked = waiting.pop()
            if walked:
                path.pop()
                done.add(target)
            elif target in path:
                circle = [*path[path.index(target) :], target]
                names = " -> ".join(map(name_of, circle))
                yield _fault("cycle", target, f"{names}: each waits for the next; break the circle at one of them")
            elif target not in done:
                path.append(target)
                waiting.append((target, True))
                waiting.extend((use.target, False) for use in graph.nodes[target].named)


_RANK: Final[Mapping[Lives, int]] = MappingProxyType(
    {"function": 0, "request": 1, "call": 1, "session": 2, "keyed": 2, "application": 3, "singleton": 4}
)
_SPAN: Final[Mapping[Lives, str]] = MappingProxyType(
    {
        "function": "one request",
        "request": "one request",
        "session": "one session",
        "keyed": "one key",
        "application": "the application",
        "singleton": "the event loop",
    }
)


def _captives(graph: Graph) -> Iterator[Fault]:
    """A long-lived thing would keep the first short-lived one that it is given for good."""
    for holder, rank in _ranks(graph).items():
        for use in graph.nodes[holder].named:
            if use.lives == "call" or _RANK[use.lives] >= rank or _is_its_key(holder, use):
                continue
            name, lives = name_of(use.target), use.lives
            span = next(_SPAN[known] for known, value in _RANK.items() if value == rank and known != "call")
            yield _fault(
                "captive",
                holder,
                f"{name_of(holder)} lives as long as {span} and would hold {name}, which lives for {_SPAN[lives]}: "
                f"give {name_of(holder)} a shorter scope, or {name} a longer one",
            )
        yield from _foreign_keys(graph, holder)


def _ranks(graph: Graph) -> dict[Dependency, int]:
    """Rank what outlives a request; a plain function beneath it lives as long."""
    ranks: dict[Dependency, int] = {}
    waiting: list[tuple[Dependency, int]] = [
        (target, _RANK[target.lifetime]) for target in graph.providers() if _RANK[target.lifetime] > 1
    ]
    waiting.extend((use.target, _RANK[use.lives]) for use in graph.uses() if use.is_long_lived and _stands_in(use))
    while waiting:
        target, rank = waiting.pop()
        if ranks.get(target, 0) >= rank:
            continue
        ranks[target] = rank
        waiting.extend(
            (use.target, rank)
            for use in graph.nodes[target].uses
            if use.lives == "call" and not _is_its_key(target, use)
        )
    return ranks


def _stands_in(use: Use) -> bool:
    return not isinstance(use.target, Provider) and isinstance(use.holder, Provider)


def _is_its_key(holder: Dependency, use: Use) -> bool:
    keyed = holder.options.keyed if isinstance(holder, Provider) else None
    return keyed is not None and keyed.by in {use.target, use.replaced}


def _foreign_keys(graph: Graph, holder: Dependency) -> Iterator[Fault]:
    """What is kept by one key cannot hold what is kept by another: it would keep the first one's for good."""
    keyed = holder.options.keyed if isinstance(holder, Provider) else None
    for use in graph.nodes[holder].uses if keyed is not None else ():
        other = use.target.options.keyed if isinstance(use.target, Provider) else None
        if keyed is not None and other is not None and other.by is not keyed.by:
            yield _fault(
                "captive",
                holder,
                f"{name_of(holder)} is kept by {name_of(keyed.by)} and would hold {name_of(use.target)}, which is kept "
                f"by {name_of(other.by)}: keep both by the same dependency",
            )


def _held_transactions(graph: Graph) -> Iterator[Fault]:
    """What closes after the response must not use at its closing what closed before it."""
    short = [use for use in graph.uses() if _RANK[use.lives] == 1 and use.scope != "function"]
    for use in {use.target: use for use in short if closes(use.target)}.values():
        for held in _function_scoped_beneath(graph, use.target):
            yield _fault(
                "held",
                use.target,
                f"{name_of(use.target)} closes after the response is sent and holds {name_of(held)}, which is over by "
                f"then (scope.function): make {name_of(use.target)} scope.function too",
            )


def _function_scoped_beneath(graph: Graph, holder: Dependency) -> Iterator[Dependency]:
    seen: set[Dependency] = set()
    waiting = [*graph.nodes[holder].uses]
    while waiting:
        use = waiting.pop()
        if use.target in seen or _RANK[use.lives] > 1:
            continue
        seen.add(use.target)
        if closes(use.target) and (use.lives == "function" or use.scope == "function"):
            yield use.target
        waiting.extend(graph.nodes[use.target].uses)


def _unprovided(graph: Graph) -> Iterator[Fault]:
    ranks = _ranks(graph)
    for node in graph.nodes.values():
        in_request = node.target not in ranks
        if in_request and not isinstance(node.target, Provider):
            continue  # FastAPI judges its own functions when their routes are declared
        for need in node.needs:
            if need.asks is Asks.NOTHING or (not in_request and need.asks in {Asks.REQUEST, Asks.CONNECTION}):
                yield _fault("unprovided", node.target, _nothing_provides(node, need, in_request=in_request))


def _nothing_provides(node: Node, need: Need, *, in_request: bool) -> str:
    name = name_of(node.target)
    if in_request or need.asks is Asks.NOTHING:
        return f"nothing provides {need.name!r} of {name}: give it a default, {need.name} = provided(...)"
    what = "connection" if need.asks is Asks.CONNECTION else "request"
    return (
        f"nothing provides {need.name!r} of {name}: it outlives every {what} it could be taken from; "
        f"give it a default, {need.name} = provided(...), or make {name} scope.request"
    )


def _parsed_overrides(graph: Graph) -> Iterator[Fault]:
    """Beneath a provider that heykit resolves, nothing can be parsed from the request."""
    for use in graph.uses():
        if use.replaced is None or not isinstance(use.holder, Provider):
            continue
        resolved_here = use.holder.is_long_lived or is_leaf(use.holder)
        if resolved_here and not graph.needs_no_request(use.target):
            yield _fault(
                "override",
                use.target,
                f"{name_of(use.target)} stands in for {name_of(use.replaced)} beneath {use.holder.__name__} and needs "
                f"what only FastAPI can parse: override {use.holder.__name__} instead",
            )


def _annotations(graph: Graph) -> Iterator[Fault]:
    for use in graph.uses():
        if not use.parameter or use.replaced is not None or not isinstance(use.target, Provider):
            continue
        given = given_type(use.target.factory)
        reason = mismatch(use.annotation, given)
        if reason:
            yield _fault(
                "annotation",
                use.holder,
                f"{use.parameter!r} of {name_of(use.holder)} is given {use.target.__name__}, {reason}: "
                "name the provider whose factory returns that type, or correct the annotation",
            )


def _shared_fallbacks(graph: Graph) -> Iterator[Fault]:
    """Beneath a singleton there is no application that could open the original again in the background."""
    for use in graph.uses():
        holder, target = use.holder, use.target
        if not isinstance(holder, Provider) or not isinstance(target, Provider) or use.holder is use.target:
            continue
        if holder.lifetime == target.lifetime == "singleton" and target.options.fallback is not None:
            yield _fault(
                "fallback",
                target,
                f"{target.__name__} has a fallback and lies beneath {holder.__name__}, another singleton, which would "
                f"keep what served first: give the fallback to {holder.__name__}",
            )


def short_roots(providers: Iterable[Provider[object]]) -> Iterator[Fault]:
    """A lifespan opens what lives long, and nothing else."""
    for provider in providers:
        if not provider.is_long_lived:
            yield _fault(
                "root",
                provider,
                f"{provider.__name__} is named in lifespan_with(...) and lives for {_SPAN[provider.lifetime]}: leave "
                "it out, or make it scope.application",
            )


def _places(graph: Graph) -> Iterator[Fault]:
    """One instance a lifetime, closed when the provider says: neither can be chosen at the place of use."""
    for use in graph.uses():
        if not isinstance(use.replaced or use.target, Provider):
            continue
        name = name_of(use.replaced or use.target)
        if not use.use_cache:
            yield _fault(
                "place",
                use.holder,
                f"{use.parameter!r} of {name_of(use.holder)} asks for {name} with use_cache=False, but a provider "
                "gives one instance a lifetime: leave it out, or depend on a plain function",
            )
        if use.max_concurrency is not None:
            yield _fault(
                "place",
                use.holder,
                f"{use.parameter!r} of {name_of(use.holder)} asks for {name} with max_concurrency=, which a provider "
                "does not know: take a limiter inside its factory",
            )
        if use.scope is not None:
            yield _fault(
                "place",
                use.holder,
                f"{use.parameter!r} of {name_of(use.holder)} asks for {name} with scope={use.scope!r}, but closing "
                "time belongs to the provider: leave it out, and declare the provider scope.function or scope.request",
            )
