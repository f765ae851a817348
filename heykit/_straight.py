"""A plan laid out in numbered places: a request fills one list from front to back, and looks nothing up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

from starlette.requests import Request

from heykit._closers import Closers
from heykit._instances import Instances
from heykit._plan import closers_of, stacks_of
from heykit._steps import CONNECTION, INSTANCES, Plan, Source, Step, taking

Parsed: TypeAlias = Mapping[str, Mapping[str, object]]  # what each parser gives, by its parameter's name
Take: TypeAlias = "Callable[[Any], tuple[object, ...]]"

_ABSENT: Final = object()
_NOWHERE: Final = Closers(AsyncExitStack())  # of a plan that leaves nothing open


class Row(NamedTuple):
    """A step whose arguments are taken from numbered places, and whose value goes to one."""

    place: int
    take: Take
    call: Callable[..., Awaitable[object]] | None
    generate: Callable[..., AsyncIterator[object]] | None
    early: bool
    step: Step
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Straight:
    """A plan for one request after another.

    The list begins with what the application holds; then come the request, the instances, what was parsed, and what
    the steps open.
    """

    held: Sequence[Source]
    take_held: Take
    parsed: Sequence[tuple[str, str]]  # parser and name
    rows: Sequence[Row]
    blank: Sequence[object]  # where the values of the rows go
    names: Sequence[str]
    take_results: Take
    results: Sequence[int]
    closes: bool
    shielded: bool

    async def run(self, request: Request, instances: Instances, values: dict[str, object], parsed: Parsed) -> None:
        """Open all; the results go to `values`, by name."""
        given = [parsed[parser][name] for parser, name in self.parsed] if parsed else ()
        try:
            known = [*self.take_held(instances.values), request, instances, *given, *self.blank]
        except KeyError:  # something is lazy, or away
            held = [instances.values.get(source.key, _ABSENT) for source in self.held]
            await self._run_slowly([*held, request, instances, *given, *self.blank], request, instances, values)
            return
        late, early = self._closers(request)
        for place, take, call, generate, is_early, step, _ in self.rows:
            if call is not None:
                known[place] = await call(*take(known))
            elif generate is not None:
                generator = generate(*take(known))
                try:
                    known[place] = await anext(generator)
                except StopAsyncIteration:
                    raise RuntimeError("generator didn't yield") from None
                (early if is_early else late).keep(generator)
            else:
                known[place] = await step.opened(take(known), early if is_early else late)
        values.update(zip(self.names, self.take_results(known), strict=True))

    def _closers(self, request: Request) -> tuple[Closers, Closers]:
        if not self.closes:
            return _NOWHERE, _NOWHERE
        if self.shielded:
            return closers_of(request)
        late, early = stacks_of(request)
        return Closers(late), Closers(early)

    async def _run_slowly(
        self, known: list[object], request: Request, instances: Instances, values: dict[str, object]
    ) -> None:
        """What the application opens later, or cannot open, is asked for in its turn: FastAPI's order of errors."""
        late, early = self._closers(request)
        for row in self.rows:
            await self._obtain(row.places, known, instances)
            arguments = row.take(known)
            if row.call is not None:
                known[row.place] = await row.call(*arguments)
            else:
                known[row.place] = await row.step.opened(arguments, early if row.early else late)
        await self._obtain(self.results, known, instances)
        values.update(zip(self.names, self.take_results(known), strict=True))

    async def _obtain(self, places: Sequence[int], known: list[object], instances: Instances) -> None:
        for place in places:
            if known[place] is _ABSENT:
                application = self.held[place].application
                assert application is not None
                known[place] = await instances.obtain(application)


def straight(plan: Plan, parsers: Mapping[str, Sequence[tuple[str, object]]]) -> Straight:
    """Number the places. `parsers`: what each gives, with the key by which the plan knows it."""
    held = list({source.key: source for source in plan.sources if source.application is not None}.values())
    given = [(name, one, key) for name, values in parsers.items() for one, key in values]
    steps = [step.key for step in plan.steps]
    keys = [*(source.key for source in held), CONNECTION, INSTANCES, *(key for _, _, key in given), *steps]
    at = {key: place for place, key in enumerate(keys)}
    results = [at[source.key] for source in plan.results]
    return Straight(
        held=held,
        take_held=taking([source.key for source in held]),
        parsed=[(parser, name) for parser, name, _ in given],
        rows=[_row(step, at) for step in plan.steps],
        blank=(None,) * len(steps),
        names=[source.name for source in plan.results],
        take_results=taking(results),
        results=results,
        closes=plan.closes,
        shielded=plan.shielded,
    )


def _row(step: Step, at: Mapping[object, int]) -> Row:
    places = tuple(at[source.key] for source in step.sources)
    return Row(at[step.key], taking(places), step.call, step.generate, step.early, step, places)
