"""What an application holds open: one instance a provider, each with its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeAlias, cast

import anyio
from fastapi.requests import HTTPConnection

from heykit._needs import Dependency, name_of, place_of
from heykit.errors import NotOpen, OverrideError, Unavailable

Overrides: TypeAlias = Mapping[Callable[..., object], Callable[..., object]]
State: TypeAlias = Literal["opening", "open", "fallback", "failed", "closed"]

# The one key under which an application's instances live, in the lifespan's state and in `app.state`.
STATE_KEY = "heykit"


class Instance:
    """One long-lived value: who gives it, how far it is, and how to end it."""

    def __init__(self, target: Dependency, dependencies: tuple[Instance, ...]) -> None:
        self.target = target
        self.serving = target  # or its fallback
        self.dependencies = dependencies
        self.state: State = "opening"
        self.value: object | None = None
        self.error: Exception | None = None
        self.open_seconds = 0.0
        self.abandoned = False  # a sibling failed: do not begin to open
        self.settled = anyio.Event()  # it is open, or it never will be
        self.stop = anyio.Event()
        self.ended = anyio.Event()
        self.scope = anyio.CancelScope()

    @property
    def name(self) -> str:
        return name_of(self.target)

    @property
    def serves(self) -> bool:
        return self.state in {"open", "fallback"}

    def describe(self) -> str:
        file, line = place_of(getattr(self.target, "factory", self.target))
        return f"{self.name} ({file}:{line})"


class Instances:
    """Every long-lived value of an application, by what gives it, in the order of opening."""

    def __init__(self, overrides: Overrides) -> None:
        self.overrides: Overrides = dict(overrides)
        self.values: dict[Dependency, object] = {}
        self.short_lived: dict[str, str] = {}  # names and scopes of what requests open
        self._instances: dict[Dependency, Instance] = {}

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._instances.values())

    def __contains__(self, target: object) -> bool:
        return target in self._instances

    def get(self, target: Dependency) -> Instance | None:
        return self._instances.get(target)

    def add(self, instance: Instance) -> None:
        self._instances[instance.target] = instance

    def discard(self, instance: Instance) -> None:
        self._instances.pop(instance.target, None)
        self.values.pop(instance.target, None)

    def value(self, provider: Dependency) -> object:
        """Give the open value of a provider.

        Raises `Unavailable` where it has failed meanwhile and `NotOpen` where nothing has opened it.
        """
        target = self.overrides.get(provider, provider) if self.overrides else provider
        try:
            return self.values[target]
        except KeyError:
            raise self._missing(provider, target) from None

    def require_unreplaced(self, target: Dependency, overrides: Overrides) -> None:
        """Refuse an open value that was built on something overridden since: half a fake is worse than none."""
        holder = self._instances.get(self.overrides.get(target, target))
        waiting = [holder] if holder is not None else []
        while waiting:
            instance = waiting.pop()
            waiting.extend(instance.dependencies)
            replacement = overrides.get(instance.target, instance.target)
            if replacement is not instance.target:
                raise OverrideError(
                    f"{name_of(target)} is open and was built on {instance.name}, which was overridden since by "
                    f"{name_of(replacement)}: set the override before the application starts, or override "
                    f"{name_of(target)} too"
                )

    def _missing(self, provider: Dependency, target: Dependency) -> Exception:
        instance = self._instances.get(target)
        if instance is not None and instance.state == "failed":
            return Unavailable(f"{instance.name} has failed and does not serve: see its health", retry_after=5)
        if instance is not None:
            return NotOpen(f"{instance.name} is {instance.state}: it was asked for after its application had ended")
        file, line = place_of(getattr(provider, "factory", provider))
        return NotOpen(
            f"{name_of(provider)} ({file}:{line}) was not opened at start-up: no route named it then. "
            "Add its routes before the application starts, or name it in lifespan_with(...)"
        )


def instances_of(connection: HTTPConnection) -> Instances:
    """Find the instances of the application that serves a connection.

    Raises `NotOpen` where no lifespan of heykit runs.
    """
    state = connection.scope.get("state")
    found = state.get(STATE_KEY) if isinstance(state, dict) else None
    if found is None:
        # Some servers do not hand the lifespan's state on; a user's own lifespan may not either.
        found = getattr(getattr(connection.scope.get("app"), "state", None), STATE_KEY, None)
    if found is None:
        raise NotOpen(
            "this application's lifespan is not running: give it one, FastAPI(lifespan=heykit.lifespan), "
            "and in a test enter it, `with TestClient(app) as client:`"
        )
    return cast("Instances", found)
