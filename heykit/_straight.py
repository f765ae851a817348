"""A plan laid out in numbered places: a request fills one list from front to back, and looks nothing up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from starlette.requests import Request

from heykit._closers import Closers
from heykit._instances import Instances
from heykit._plan import CONNECTION, INSTANCES, NOWHERE, Plan, Source, Step, closers_of, taking

Parsed: TypeAlias = Mapping[str, Mapping[str, object]]  # what each parser gives, by its parameter's name
Take: TypeAlias = "Callable[[Any], tuple[object, ...]]"

_ABSENT: Final = object()


@dataclass(frozen=True, slots=True)
class Row:
    """A step whose arguments are taken from numbered places, and whose value goes to one."""

    place: int
    take: Take
    call: Callable[..., Awaitable[object]] | None
    step: Step
    places: tuple[int, ...]


@dataclass(frozen=True)
class Straight:
    """A plan for one request after another.

    The list begins with what the application holds; then come the request, the instances, what was parsed, and what
    the steps open.
    """

    plan: Plan
    held: Sequence[Source]
    take_held: Take
    blank: Sequence[object]
    parsed: Sequence[tuple[int, str, str]]  # place, parser, name
    rows: Sequence[Row]
    names: Sequence[str]
    take_results: Take
    results: Sequence[int]

    async def run(self, request: Request, instances: Instances, parsed: Parsed) -> dict[str, object]:
        """Open all, give the results by name."""
        try:
            known = [*self.take_held(instances.values), *self.blank]
        except KeyError:  # something is lazy, or away
            return await self._run_slowly(request, instances, parsed)
        self._begin(known, request, instances, parsed)
        late, early = self._closers(request)
        for row in self.rows:
            if row.call is not None:
                known[row.place] = await row.call(*row.take(known))
            else:
                known[row.place] = await _opened(row, known, late, early)
        return dict(zip(self.names, self.take_results(known), strict=True))

    async def _run_slowly(self, request: Request, instances: Instances, parsed: Parsed) -> dict[str, object]:
        """What the application opens later, or cannot open, is asked for in its turn: FastAPI's order of errors."""
        known = [*(instances.values.get(source.key, _ABSENT) for source in self.held), *self.blank]
        self._begin(known, request, instances, parsed)
        late, early = self._closers(request)
        for row in self.rows:
            await self._obtain(row.places, known, instances)
            known[row.place] = await _opened(row, known, late, early)
        await self._obtain(self.results, known, instances)
        return dict(zip(self.names, self.take_results(known), strict=True))

    def _begin(self, known: list[object], request: Request, instances: Instances, parsed: Parsed) -> None:
        first = len(self.held)
        known[first] = request
        known[first + 1] = instances
        for place, parser, name in self.parsed:
            known[place] = parsed[parser][name]

    def _closers(self, request: Request) -> tuple[Closers, Closers]:
        return closers_of(request, {}, shielded=self.plan.waits) if self.plan.closes else (NOWHERE, NOWHERE)

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
        plan,
        held,
        taking([source.key for source in held]),
        (None,) * (len(keys) - len(held)),
        [(at[key], parser, name) for parser, name, key in given],
        [_row(step, at) for step in plan.steps],
        [source.name for source in plan.results],
        taking(results),
        results,
    )


def _row(step: Step, at: Mapping[object, int]) -> Row:
    places = tuple(at[source.key] for source in step.sources)
    return Row(at[step.key], taking(places), step.call, step, places)


async def _opened(row: Row, known: list[object], late: Closers, early: Closers) -> object:
    arguments = row.take(known)
    if row.call is not None:
        return await row.call(*arguments)
    return await row.step.opened(arguments, early if row.step.early else late)
