"""What one request opens: the steps, in order, and where the arguments of each are found."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, TypeAlias, cast

from heykit._closers import Closers
from heykit._needs import Dependency
from heykit._provider import Enter

Known: TypeAlias = MutableMapping[object, object]  # values by what gives them, the application's among them
Take: TypeAlias = Callable[[Known], tuple[object, ...]]


class Special:
    """What a step may need that no dependency gives."""

    def __init__(self, name: str) -> None:
        self.name = name


CONNECTION: Final = Special("a connection")
INSTANCES: Final = Special("a running application")


@dataclass(frozen=True, slots=True)
class Source:
    """Where an argument comes from: under which key it is known, and whether the application gives it."""

    name: str
    key: object
    application: Dependency | None = None  # as the place names it


@dataclass(frozen=True, slots=True)
class Step:
    """Open one instance. Closing time belongs to the provider: `early` is before the response leaves."""

    key: object
    sources: tuple[Source, ...]
    take: Take
    enter: Enter
    call: Callable[..., Awaitable[object]] | None  # a coroutine function that takes its arguments in order
    generate: Callable[..., AsyncIterator[object]] | None  # or an async generator function that does
    early: bool
    closes: bool
    shielded: bool  # its closing is not to be interrupted

    async def opened(self, arguments: tuple[object, ...], closers: Closers) -> object:
        """Open it with its arguments in the order of its sources; what closes it goes to the closers."""
        if self.generate is not None:
            return await closers.opened(self.generate(*arguments))
        named = {source.name: value for source, value in zip(self.sources, arguments, strict=True)}
        return await self.enter(named, closers.entering(shielded=self.shielded))


@dataclass(frozen=True)
class Plan:
    """The steps beneath some providers, in order, and where the value of each is found."""

    steps: tuple[Step, ...]
    results: tuple[Source, ...]

    @property
    def sources(self) -> list[Source]:
        return [*self.results, *(source for step in self.steps for source in step.sources)]

    @functools.cached_property
    def asks_application(self) -> bool:
        """Whether anything of it lives as long as the application, which must then be running."""
        return any(source.key is INSTANCES or source.application is not None for source in self.sources)

    @functools.cached_property
    def rows(self) -> tuple[tuple[object, Take, Callable[..., Awaitable[object]] | None, Step], ...]:
        """The steps as `follow` reads them."""
        return tuple((step.key, step.take, step.call, step) for step in self.steps)

    @functools.cached_property
    def closes(self) -> bool:
        return any(step.closes for step in self.steps)

    @functools.cached_property
    def shielded(self) -> bool:
        return any(step.shielded for step in self.steps)


def step_of(
    key: object,
    sources: tuple[Source, ...],
    enter: Enter,
    call: Callable[..., Awaitable[object]] | None = None,
    generate: Callable[..., AsyncIterator[object]] | None = None,
    *,
    early: bool = False,
    closes: bool = False,
    shielded: bool = True,
) -> Step:
    """Make a step; `shielded`: whether its closing, if it closes, is not to be interrupted."""
    return Step(
        key,
        sources,
        taking([source.key for source in sources]),
        enter,
        call,
        generate,
        early=early,
        closes=closes,
        shielded=closes and shielded,
    )


def takes_in_order(factory: Dependency, sources: Sequence[Source]) -> bool:
    """Tell whether its parameters are these in this order: then no names are needed to call it."""
    if hasattr(factory, "__signature__") or hasattr(factory, "__wrapped__"):
        return False  # what it says it takes may be another thing than what it takes
    in_order = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    parameters = list(inspect.signature(factory).parameters.values())[: len(sources)]
    return [p.name for p in parameters if p.kind in in_order] == [source.name for source in sources]


def taking(keys: Sequence[object]) -> Callable[[Any], tuple[object, ...]]:
    """Take the values of some keys or places, in C where there are several."""
    if not keys:
        return lambda _: ()
    if len(keys) == 1:
        only = keys[0]
        return lambda known: (known[only],)
    return cast("Take", itemgetter(*keys))
