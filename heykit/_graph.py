"""What hangs together: every dependency once, with what it needs, overrides applied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from heykit._instances import Overrides
from heykit._needs import Asks, Dependency, Need, needs_of
from heykit._provider import Lifetime, Provider

Lives: TypeAlias = Lifetime | Literal["call"]


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
    max_concurrency: int | None = None
    replaced: Dependency | None = None

    @property
    def lives(self) -> Lives:
        """Tell the lifetime of what is given here; a plain function takes that of the provider it stands in for."""
        for dependency in (self.target, self.replaced):
            if isinstance(dependency, Provider):
                return dependency.lifetime
        return "call"

    @property
    def is_long_lived(self) -> bool:
        return self.lives in {"application", "singleton"}


@dataclass(frozen=True, slots=True)
class Node:
    """One dependency: what it needs, and for each need that is a dependency, its use.

    `fallback` is the use of what serves where it cannot be opened.
    """

    target: Dependency
    needs: tuple[Need, ...]
    uses: tuple[Use, ...]
    fallback: Use | None = None

    @property
    def named(self) -> tuple[Use, ...]:
        return self.uses if self.fallback is None else (*self.uses, self.fallback)


@dataclass(frozen=True, slots=True)
class Opening:
    """Something an application opens: what it needs, whether at once, and whether it shares it with others.

    Where a `critical` one cannot open, the application does not start.
    """

    beneath: tuple[Dependency, ...]
    eager: bool
    critical: bool
    shared: bool


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
            yield from node.named

    def providers(self) -> Iterator[Provider[object]]:
        yield from (target for target in self.nodes if isinstance(target, Provider))

    def long_lived(self) -> dict[Dependency, Opening]:
        """Name what an application opens, each after what it needs.

        A plain function beneath something long-lived is opened with it, once.
        """
        wanted = dict.fromkeys(use.target for use in self.uses() if use.is_long_lived and self._ours(use))
        ordered = self._closure(wanted)
        first = [*self._eager_first(ordered)]
        eager, critical = self._closure(first), self._closure(first, through_fallbacks=False)
        return {
            target: Opening(beneath, eager=target in eager, critical=target in critical, shared=self._is_shared(target))
            for target, beneath in ordered.items()
        }

    def _eager_first(self, ordered: Mapping[Dependency, tuple[Dependency, ...]]) -> Iterator[Dependency]:
        """What is opened at the start: named by hand, or not lazy and asked for by what requests open."""
        yield from (use.target for use in self.roots if use.target in ordered)
        fallbacks = {id(node.fallback) for node in self.nodes.values()}
        for use in self.uses():
            if use.target in ordered and use.holder not in ordered and id(use) not in fallbacks and not _is_lazy(use):
                yield use.target

    def _closure(
        self, first: Iterable[Dependency], *, through_fallbacks: bool = True
    ) -> dict[Dependency, tuple[Dependency, ...]]:
        """Walk down from some, depth first: each after what it needs, with what it needs.

        What is needed only by something with a fallback may be left out: that has something else to serve.
        """
        ordered: dict[Dependency, tuple[Dependency, ...]] = {}
        waiting = [(target, False) for target in reversed(list(first))]
        visited: set[Dependency] = set()
        while waiting:
            target, walked = waiting.pop()
            spared = not through_fallbacks and self.nodes[target].fallback is not None
            beneath = () if spared else self._beneath(target)
            if walked:
                ordered[target] = beneath
            elif target not in visited:
                visited.add(target)
                waiting.append((target, True))
                waiting.extend((found, False) for found in reversed(beneath))
        return ordered

    def _beneath(self, target: Dependency) -> tuple[Dependency, ...]:
        if self._is_shared(target):
            return ()  # a singleton brings its own
        uses = self.nodes[target].uses
        return tuple(dict.fromkeys(use.target for use in uses if use.is_long_lived or use.lives == "call"))

    def _is_shared(self, target: Dependency) -> bool:
        """Tell whether it is one with other applications: a singleton beneath which nothing is overridden here."""
        if not isinstance(target, Provider) or target.lifetime != "singleton":
            return False
        return not any(use.replaced is not None for node in self._below(target) for use in node.uses)

    def _below(self, target: Dependency) -> Iterator[Node]:
        seen: set[Dependency] = set()
        waiting = [target]
        while waiting:
            current = waiting.pop()
            if current not in seen:
                seen.add(current)
                yield self.nodes[current]
                waiting.extend(use.target for use in self.nodes[current].uses)

    def _ours(self, use: Use) -> bool:
        """Tell whether heykit opens it: a plain override of what a route itself names is called by FastAPI."""
        if isinstance(use.target, Provider):
            return True
        return isinstance(use.holder, Provider) and self.needs_no_request(use.target)

    def needs_no_request(self, target: Dependency) -> bool:
        """Tell whether it could be opened with the application: nothing beneath is parsed from a request."""
        walked: set[Dependency] = set()
        waiting = [target]
        while waiting:
            current = waiting.pop()
            if current in walked or (isinstance(current, Provider) and current.is_long_lived):
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
            waiting.extend(use.target for use in nodes[target].named)
    return Graph(nodes, placed, named)


def uses_of(holder: Dependency, needs: Iterable[Need]) -> Iterator[Use]:
    """Give a use for each need that a dependency fills."""
    for need in needs:
        if need.dependency is not None and need.marker is not None:
            marker = need.marker
            yield Use(
                need.dependency,
                holder,
                need.name,
                need.annotation,
                marker.use_cache,
                marker.scope,
                marker.max_concurrency,
            )


def _placed(use: Use, overrides: Overrides) -> Use:
    target = overrides.get(use.target, use.target)
    return use if target is use.target else replace(use, target=target, replaced=use.target)


def _node(target: Dependency, overrides: Overrides) -> Node:
    needs = target.needs if isinstance(target, Provider) else needs_of(target)
    uses = [_placed(use, overrides) for use in uses_of(target, needs)]
    options = target.options if isinstance(target, Provider) else None
    if options is not None and options.keyed is not None:
        uses.append(_placed(Use(options.keyed.by, target), overrides))
    if options is None or options.fallback is None:
        return Node(target, needs, tuple(uses))
    return Node(target, needs, tuple(uses), _placed(Use(options.fallback, target), overrides))


def _is_lazy(use: Use) -> bool:
    return isinstance(use.target, Provider) and use.target.options.lazy
