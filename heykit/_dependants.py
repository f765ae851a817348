"""From FastAPI's tree of dependants to a list of steps: what FastAPI would call, in its order, found out once."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from heykit._needs import Dependency, name_of, needs_of, signature_of
from heykit._plan import plan_of, step_of_factory
from heykit._provider import Arguments, Enter, Provider, closes, entering, is_awaited, is_sync_generator, unpartial
from heykit._purity import is_pure
from heykit._seen import HIDDEN_CONNECTION, is_leaf
from heykit._steps import CONNECTION, Plan, Source, Step, step_of, takes_in_order

CacheKey: TypeAlias = "tuple[Dependency, tuple[str, ...], str]"

_VALUE: Final = "value"


class Uncompilable(Exception):
    """Why FastAPI must resolve these dependants itself."""


@dataclass(frozen=True)
class Parser:
    """A dependency that only parses: it gives what one call takes from the request, by name."""

    parse: Dependency
    call: Cell
    names: tuple[str, ...]


class Cell:
    """One call of a dependency function; by it the value is known."""

    __slots__ = ("of",)

    def __init__(self, of: Dependency) -> None:
        self.of = of


@dataclass(frozen=True)
class Chain:
    """What an endpoint's dependants come to.

    `parsers` run first and open nothing. `named` is every dependency of the chain: an override of any changes it.
    `reads_body`: whether FastAPI reads the request's body for it.
    """

    plan: Plan
    parsers: tuple[Parser, ...]
    named: frozenset[Dependency]
    reads_body: bool


def chain_of(dependant: Dependant) -> Chain:
    """Go through the dependants as FastAPI does for each request, and note what it would do.

    Raises `Uncompilable` for what only FastAPI can do.
    """
    walk = _Walk()
    walk.parse(dependant)
    results = walk.solved(dependant)
    # FastAPI gathers the parts of a body from above.
    parsers = [parser for _, parser in sorted(walk.parsers.items())]
    plan = Plan(tuple(walk.steps.values()), tuple(results))
    return Chain(plan, tuple(parsers), frozenset(walk.named), walk.reads_body)


class _Walk:
    """One pass through the tree. What FastAPI finds in its cache is a known key here."""

    def __init__(self) -> None:
        self.steps: dict[object, Step] = {}
        self.parsers: dict[int, Parser] = {}  # by the place of their call
        self.reads_body = False
        self.named: set[Dependency] = set()
        self._cached: dict[CacheKey, Cell] = {}
        self._uses_scopes: dict[int, bool] = {}
        self._repeats: dict[int, bool] = {}
        self._places = itertools.count()

    def parse(self, dependant: Dependant) -> list[str]:
        """Name what is parsed for a call: before anything is called, and so it must depend on nothing else."""
        fields = [*dependant.path_params, *dependant.query_params, *dependant.header_params, *dependant.cookie_params]
        fields += dependant.body_params
        self.reads_body = self.reads_body or bool(dependant.body_params)
        for field in fields:
            if not is_pure(field.field_info):
                name = name_of(cast("Dependency", dependant.call))
                raise Uncompilable(f"FastAPI must resolve {name}, whose {field.name} is validated by code")
        return [field.name for field in fields]

    def solved(self, dependant: Dependant) -> list[Source]:
        """Note the calls beneath a dependant; give where the values of its dependencies are found."""
        found: list[Source] = []
        for sub in dependant.dependencies:
            call = cast("Dependency", sub.call)
            self.named.add(call)
            if sub.concurrency is not None:
                raise Uncompilable(f"FastAPI must resolve {name_of(call)}, which has max_concurrency=")
            source = self._provided(call) if _is_ours(call) else Source("", self._called(sub, call))
            if sub.name is not None:
                found.append(Source(sub.name, source.key, source.application))
        return found

    def _provided(self, provider: Dependency) -> Source:
        """What heykit opens is known by its provider, however it is reached."""
        assert isinstance(provider, Provider)
        self.named.update(_beneath(provider))
        plan = plan_of([(_VALUE, provider)], {}, {})
        for step in plan.steps:
            self.steps.setdefault(step.key, step)
        return plan.results[0]

    def _called(self, sub: Dependant, call: Dependency) -> Cell:
        key = self._cache_key(sub, call)
        cached = self._cached.get(key) if sub.use_cache else None
        if cached is not None and not self._is_repeated(sub):
            return cached
        # FastAPI looks its cache up only after all beneath is solved: what repeats there, repeats.
        place = next(self._places)
        sources = self.solved(sub)
        if cached is not None:
            return cached
        cell = Cell(call)
        self.steps[cell] = _step(cell, sub, (*sources, *self._given(sub, cell, place)))
        self._cached.setdefault(key, cell)  # the first value is cached, also where this place does not ask for it
        return cell

    def _given(self, sub: Dependant, cell: Cell, place: int) -> Iterator[Source]:
        """What a call takes that is no dependency: parsed, or made by FastAPI."""
        for name in (sub.request_param_name, sub.http_connection_param_name):
            if name is not None and name != HIDDEN_CONNECTION:
                yield Source(name, CONNECTION)
        if sub.security_scopes_param_name is not None:
            scopes = Cell(SecurityScopes)
            self.steps[scopes] = _scopes(scopes, _oauth_scopes(sub))
            yield Source(sub.security_scopes_param_name, scopes)
        made = [name for name in (sub.response_param_name, sub.background_tasks_param_name) if name is not None]
        names = (*self.parse(sub), *made)
        if names:
            self.parsers[place] = Parser(_parsing(cell.of, names), cell, names)
            yield from (Source(name, (cell, name)) for name in names)

    def _cache_key(self, sub: Dependant, call: Dependency) -> CacheKey:
        scopes = tuple(sorted(set(_oauth_scopes(sub)))) if self._is_scoped(sub) else ()
        return call, scopes, sub.scope or ("request" if closes(call) else "")

    def _is_scoped(self, sub: Dependant) -> bool:
        """Whether what it gives depends on the scopes that are asked of the user."""
        known = self._uses_scopes.get(id(sub))
        if known is None:
            plain = inspect.unwrap(unpartial(cast("Dependency", sub.call)))
            own = bool(sub.own_oauth_scopes) or sub.security_scopes_param_name is not None
            known = own or isinstance(plain, SecurityBase) or any(map(self._is_scoped, sub.dependencies))
            self._uses_scopes[id(sub)] = known
        return known

    def _is_repeated(self, sub: Dependant) -> bool:
        """Whether anything beneath is called again each time it is come to."""
        known = self._repeats.get(id(sub))
        if known is None:
            known = any(not below.use_cache or self._is_repeated(below) for below in sub.dependencies)
            self._repeats[id(sub)] = known
        return known


def _is_ours(call: Dependency) -> bool:
    return isinstance(call, Provider) and (call.is_long_lived or is_leaf(call))


def _beneath(provider: Provider[object]) -> set[Dependency]:
    found: set[Dependency] = set()
    waiting: list[Dependency] = [provider]
    while waiting:
        target = waiting.pop()
        if target not in found:
            found.add(target)
            needs = target.needs if isinstance(target, Provider) else needs_of(target)
            waiting.extend(need.dependency for need in needs if need.dependency is not None)
            if isinstance(target, Provider) and target.options.keyed is not None:
                waiting.append(target.options.keyed.by)
    return found


def _step(cell: Cell, sub: Dependant, sources: tuple[Source, ...]) -> Step:
    """The call of a dependency function, as FastAPI would call it."""
    early = sub.scope == "function"
    if isinstance(cell.of, Provider) and cell.of.options.keyed is None:
        return step_of_factory(cell, cell.of, sources, early=early or cell.of.lifetime == "function")
    # A provider that is kept shows FastAPI a function of its own.
    call = cast("Dependency", cast("Any", cell.of).__call__) if isinstance(cell.of, Provider) else cell.of
    in_order = inspect.isfunction(call) and call.__code__.co_posonlyargcount == 0 and takes_in_order(call, sources)
    awaited = generated = None
    if closes(call):
        enter = entering(call)
        if in_order and inspect.isasyncgenfunction(call):
            generated = cast("Callable[..., AsyncIterator[object]]", call)
    elif is_awaited(call):
        enter = entering(call)
        if in_order:
            awaited = cast("Callable[..., Awaitable[object]]", call)
    else:
        enter = _in_thread(call)
    return step_of(
        cell,
        sources,
        enter,
        awaited,
        generated,
        early=early,
        closes=closes(call),
        shielded=not is_sync_generator(call),  # FastAPI leaves those to their thread
    )


def _in_thread(call: Dependency) -> Enter:
    async def enter(arguments: Arguments, _: AsyncExitStack) -> object:
        return await run_in_threadpool(call, **arguments)

    return enter


def _scopes(cell: Cell, scopes: list[str]) -> Step:
    async def scopes_asked() -> object:
        return SecurityScopes([*scopes])

    return step_of(cell, (), entering(scopes_asked), scopes_asked)


def _oauth_scopes(sub: Dependant) -> list[str]:
    return list(dict.fromkeys([*(sub.parent_oauth_scopes or ()), *(sub.own_oauth_scopes or ())]))


def _parsing(call: Dependency, names: Sequence[str]) -> Dependency:
    """Make a dependency that takes of a call's parameters these, and gives them."""

    async def parsing(**values: object) -> Mapping[str, object]:
        return values

    shown = signature_of(call).parameters
    asked = [shown[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names if name in shown]
    if len(asked) < len(names) or any(isinstance(parameter.annotation, str) for parameter in asked):
        raise Uncompilable(f"FastAPI must resolve {name_of(call)}, whose annotations cannot be evaluated here")
    cast("Any", parsing).__signature__ = inspect.Signature(asked)
    return parsing
