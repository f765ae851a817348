"""What an application holds open: one instance a provider, each with its state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import anyio
from fastapi.requests import HTTPConnection

from heykit._life import Life, Own, Spawn
from heykit._needs import Dependency, name_of, place_of
from heykit.errors import NotOpen, Unavailable

if TYPE_CHECKING:
    from heykit._pool import Entry, Pool

Overrides: TypeAlias = Mapping[Callable[..., object], Callable[..., object]]
State: TypeAlias = Literal["lazy", "opening", "open", "fallback", "failed", "closed"]

# The one key under which an application's instances live, in the lifespan's state and in `app.state`.
STATE_KEY = "heykit"


class Instance:
    """One long-lived value: who gives it, how far it is, and how to end it."""

    def __init__(self, target: Dependency, beneath: tuple[Dependency, ...], *, scope: str, shared: bool) -> None:
        self.target = target
        self.beneath = beneath
        self.scope = scope
        self.shared = shared  # with other applications: a singleton
        self.state: State = "lazy"
        self.value: object | None = None
        self.error: BaseException | None = None
        self.open_seconds = 0.0
        self.abandoned = False  # a sibling failed: do not begin to open
        self.life = Life()
        self.settled = anyio.Event()  # it is open, or it never will be
        self.stop = anyio.Event()
        self.published = anyio.Event()  # it serves
        self.lost = anyio.Event()  # it served, and does no longer
        self.stands_in_for: set[Instance] = set()
        self.over = anyio.Event()  # asked to end, or not to begin
        self.ended = anyio.Event()

    @property
    def name(self) -> str:
        return name_of(self.target)

    @property
    def serves(self) -> bool:
        return self.state in {"open", "fallback"}

    def describe(self) -> str:
        file, line = place_of(getattr(self.target, "factory", self.target))
        return f"{self.name} ({file}:{line})"

    def abandon(self) -> None:
        self.abandoned = True
        self.over.set()
        self.life.abandon()

    def end(self) -> None:
        self.stop.set()
        self.over.set()
        self.life.end()
        if self.state != "open":
            self.life.abandon()  # it is only being tried again beside its fallback


class Instances:
    """Every long-lived value of an application, by what gives it, in the order of declaration."""

    def __init__(self, overrides: Overrides) -> None:
        self.overrides: Overrides = dict(overrides)
        self.values: dict[object, object] = {}  # by what gives them
        self.pools: dict[Dependency, Pool] = {}  # of keyed providers, each from its first use
        self.kept: dict[Entry, None] = {}  # what those hold open, in order of opening
        self.short_lived: dict[Dependency, str] = {}  # the scope of what requests open
        self.running_in: object = None  # the task of the lifespan that opened it
        self.over = False
        self.spawn: Spawn = nothing_runs
        self._instances: dict[Dependency, Instance] = {}
        self._want: dict[Dependency, Callable[[Instance], Instance]] = {}

    def __iter__(self) -> Iterator[Instance]:
        return iter(self._instances.values())

    def __contains__(self, target: object) -> bool:
        return target in self._instances

    def __bool__(self) -> bool:
        return True  # empty or not

    def get(self, target: Dependency) -> Instance | None:
        return self._instances.get(target)

    def add(self, instance: Instance, want: Callable[[Instance], Instance]) -> None:
        """Add an instance; `want` opens it if it is lazy and not open, and gives the one to wait for."""
        self._instances[instance.target] = instance
        self._want[instance.target] = want

    def discard(self, instance: Instance) -> None:
        if self._instances.get(instance.target) is instance:
            del self._instances[instance.target]
            del self._want[instance.target]
        self.values.pop(instance.target, None)

    def wanted(self, instance: Instance) -> Instance:
        """Open an instance if it is lazy, or has failed and may be opened again; give the one to wait for."""
        return self._want[instance.target](instance)

    def target(self, provider: Dependency) -> Dependency:
        return self.overrides.get(provider, provider) if self.overrides else provider

    async def obtain(self, provider: Dependency) -> object:
        """Give the value of a provider, which is opened first if it is lazy.

        Raises `Unavailable` where it has failed and `NotOpen` where nothing opens it.
        """
        target = self.target(provider)
        try:
            return self.values[target]
        except KeyError:
            instance = self._instances.get(target)
        if instance is not None:
            waited = self.wanted(instance)
            await waited.settled.wait()
            if target in self.values:
                return self.values[target]
            instance = waited
        raise self._missing(provider, instance)

    def _missing(self, provider: Dependency, instance: Instance | None) -> Exception:
        if instance is not None and instance.state == "failed":
            refusal = Unavailable(f"{instance.name} has failed and does not serve: see its health", retry_after=5)
            refusal.__cause__ = instance.error
            return refusal
        if instance is not None:
            return NotOpen(f"{instance.name} is {instance.state}: it was asked for after its application had ended")
        file, line = place_of(getattr(provider, "factory", provider))
        return NotOpen(
            f"{name_of(provider)} ({file}:{line}) was not opened at start-up: no route named it then. "
            "Add its routes before the application starts, or name it in lifespan_with(...)"
        )


def nothing_runs(_: Own) -> None:
    raise NotOpen("no lifespan is running that could open it")


def instances_of(connection: HTTPConnection) -> Instances:
    """Find the instances of the application that serves a connection.

    Raises `NotOpen` where no lifespan of heykit runs.
    """
    try:
        found: Instances = connection.scope["state"][STATE_KEY]
    except KeyError:
        return instances_if_running(connection) or instances_in(None)
    return found


def instances_if_running(connection: HTTPConnection) -> Instances | None:
    """Find them, or nothing."""
    state = connection.scope.get("state")
    found = state.get(STATE_KEY) if isinstance(state, dict) else None
    if found is None:
        # Some servers do not hand the lifespan's state on; a user's own lifespan may not either.
        found = getattr(getattr(connection.scope.get("app"), "state", None), STATE_KEY, None)
    return cast("Instances | None", found)


def instances_in(app: object) -> Instances:
    """Find the instances of an application itself.

    Raises `NotOpen` where no lifespan of heykit runs.
    """
    found = getattr(getattr(app, "state", None), STATE_KEY, None)
    if found is None:
        raise NotOpen(
            "this application's lifespan is not running: give it one, FastAPI(lifespan=heykit.lifespan), "
            "and in a test enter it, `with TestClient(app) as client:`"
        )
    return cast("Instances", found)
