"""What hangs together: every dependency once, with what it needs, overrides applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from heykit._instances import Overrides
from heykit._needs import Asks, Dependency, Need, needs_of
from heykit._provider import Provider

Lives: TypeAlias = Literal["application", "request", "function", "call"]


@dataclass(frozen=True, slots=True)
class Use:
    """A place where a dependency is asked for: by which function, in which parameter, marked how.

    `replaced` is what the place names where an override, `target`, stands in for it.
    """

    target: Dependency
    holder: Dependency
    parameter: str = ""
    annotation: object = None
    use_cache: bool = True
    scope: str | None = None
    replaced: Provider[object] | None = None

    @property
    def lives(self) -> Lives:
        """Tell the lifetime of what is given here; a plain function takes that of the provider it stands in for."""
        for dependency in (self.target, self.replaced):
            if isinstance(dependency, Provider):
                return dependency.lifetime
        return "call"


@dataclass(frozen=True, slots=True)
class Node:
    """One dependency: what it needs, and for each need that is a dependency, its use."""

    target: Dependency
    needs: tuple[Need, ...]
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Every dependency beneath an application's routes (`entries`) and beneath providers named by hand (`roots`)."""

    nodes: Mapping[Dependency, Node]
    entries: tuple[Use, ...]
    roots: tuple[Use, ...]

    def uses(self) -> Iterator[Use]:
        yield from self.roots
        yield from self.entries
        for node in self.nodes.values():
            yield from node.uses

    def providers(self) -> Iterator[Provider[object]]:
        yield from (target for target in self.nodes if isinstance(target, Provider))

    def long_lived(self) -> dict[Dependency, tuple[Dependency, ...]]:
        """Name what an application opens, each after what it needs, with what it needs.

        A plain function beneath something long-lived is opened with it, once.
        """
        ordered: dict[Dependency, tuple[Dependency, ...]] = {}
        first = dict.fromkeys(use.target for use in self.uses() if use.lives == "application" and self._ours(use))
        waiting = [(target, False) for target in reversed(first)]
        visited: set[Dependency] = set()
        while waiting:
            target, walked = waiting.pop()
            beneath = self._beneath_long_lived(target)
            if walked:
                ordered[target] = beneath
            elif target not in visited:
                visited.add(target)
                waiting.append((target, True))
                waiting.extend((found, False) for found in reversed(beneath))
        return ordered

    def _beneath_long_lived(self, target: Dependency) -> tuple[Dependency, ...]:
        uses = self.nodes[target].uses
        return tuple(dict.fromkeys(use.target for use in uses if use.lives in {"application", "call"}))

    def _ours(self, use: Use) -> bool:
        """Tell whether heykit opens it: a plain override of what a route itself names is called by FastAPI."""
        return isinstance(use.target, Provider) or (
            isinstance(use.holder, Provider) and self.needs_no_request(use.target)
        )

    def needs_no_request(self, target: Dependency) -> bool:
        """Tell whether it could be opened with the application: nothing beneath is parsed from a request."""
        walked: set[Dependency] = set()
        waiting = [target]
        while waiting:
            current = waiting.pop()
            if current in walked or (isinstance(current, Provider) and current.lifetime == "application"):
                continue
            walked.add(current)
            if any(need.asks in {Asks.REQUEST, Asks.NOTHING} for need in self.nodes[current].needs):
                return False
            waiting.extend(use.target for use in self.nodes[current].uses)
        return True


def graph_of(entries: Iterable[Use], roots: Iterable[Provider[object]], overrides: Overrides) -> Graph:
    """Walk from the entries and roots down; overrides are applied at every depth."""
    nodes: dict[Dependency, Node] = {}
    placed = tuple(_placed(use, overrides) for use in entries)
    named = tuple(_placed(Use(root, root), overrides) for root in roots)
    waiting = [use.target for use in (*named, *placed)]
    while waiting:
        target = waiting.pop()
        if target not in nodes:
            nodes[target] = _node(target, overrides)
            waiting.extend(use.target for use in nodes[target].uses)
    return Graph(nodes, placed, named)


def uses_of(holder: Dependency, needs: Iterable[Need]) -> Iterator[Use]:
    """Give a use for each need that a dependency fills."""
    for need in needs:
        if need.dependency is not None and need.marker is not None:
            yield Use(need.dependency, holder, need.name, need.annotation, need.marker.use_cache, need.marker.scope)


def _placed(use: Use, overrides: Overrides) -> Use:
    target = overrides.get(use.target, use.target)
    if target is use.target:
        return use
    return replace(use, target=target, replaced=use.target if isinstance(use.target, Provider) else None)


def _node(target: Dependency, overrides: Overrides) -> Node:
    needs = target.needs if isinstance(target, Provider) else needs_of(target)
    uses = [_placed(use, overrides) for use in uses_of(target, needs)]
    fallback = target.options.fallback if isinstance(target, Provider) else None
    if fallback is not None:
        uses.extend(_node(overrides.get(fallback, fallback), overrides).uses)
    return Node(target, needs, tuple(uses))
