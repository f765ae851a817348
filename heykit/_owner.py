"""Opening what lives as long as an application: each thing owned by one task, which keeps its failure to itself."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from functools import partial

import anyio
from anyio.abc import TaskGroup

from heykit._instances import Instance, Instances, nothing_runs
from heykit._keeping import Keeper
from heykit._life import Own, outlast
from heykit._needs import Dependency, needs_of
from heykit._pool import close_pools
from heykit._provider import Provider
from heykit.errors import NotOpen, ShutdownError, StartupError


@asynccontextmanager
async def opening(
    found: Sequence[Instance], eager: AbstractSet[Dependency], critical: AbstractSet[Dependency], into: Instances
) -> AsyncGenerator[None]:
    """Open instances, each after those it names, side by side; close them in reverse order of opening.

    Those that are not `eager` open when somebody obtains them; one that is not `critical` may fail to open. Raises
    `StartupError` from the first failure, after closing what was open, and `ShutdownError` for what failed to close.
    """
    ours = [instance for instance in found if instance.target not in into]
    body: BaseException | None = None
    # What an exception group would wrap is raised after it: the person who reads it needs the one cause.
    async with anyio.create_task_group() as tasks:
        owners = _Owners(into, tasks)
        try:
            await owners.open(ours, eager, critical)
            if not owners.failures:
                owners.serving = True
                yield
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:  # noqa: BLE001 - raised below, outside the group
            body = error
        finally:
            await owners.close()
    for instance in owners.ours:
        into.discard(instance)
    if body is not None:
        raise body
    if not owners.serving and owners.failures:
        raise _startup_error(owners.failures[0])
    if owners.unclosed:
        raise _shutdown_error(owners.unclosed)


def _startup_error(failed: Instance) -> StartupError:
    said = f"{type(failed.error).__name__}: {failed.error}".removesuffix(": ")
    error = StartupError(f"{failed.describe()} could not be opened: {said}")
    error.__cause__ = failed.error
    return error


def _shutdown_error(unclosed: Sequence[tuple[str, BaseException]]) -> ShutdownError:
    names = ", ".join(dict.fromkeys(name for name, _ in unclosed))
    errors = [error for _, error in unclosed if isinstance(error, Exception)]
    error = ShutdownError(f"not everything could be closed: {names}", errors)
    error.__cause__ = unclosed[0][1]
    return error


class _Owners:
    """The tasks that own one lifespan's instances, and what became of them."""

    def __init__(self, instances: Instances, tasks: TaskGroup) -> None:
        self.ours: list[Instance] = []
        self.serving = False
        self.failures: list[Instance] = []  # that ended the start, in order
        self._keeper = Keeper(instances, self._is_fatal)
        self._instances = instances
        self._tasks = tasks
        self._critical: AbstractSet[Dependency] = frozenset()
        self._is_outer = instances.spawn is nothing_runs  # not within the lifespan of another for the same application
        # Whoever asks for a lazy thing must not be the parent of its task: the thing would inherit their context.
        self._orders, self._ordered = anyio.create_memory_object_stream[Own](math.inf)

    @property
    def unclosed(self) -> Sequence[tuple[str, BaseException]]:
        """What could not be closed, by name."""
        return self._keeper.unclosed

    async def open(
        self, ours: Sequence[Instance], eager: AbstractSet[Dependency], critical: AbstractSet[Dependency]
    ) -> None:
        self.ours = list(ours)
        self._critical = critical
        if self._is_outer:
            self._instances.spawn = self.spawn
        for instance in ours:
            self._instances.add(instance, self._want)
        self._tasks.start_soon(self._take_orders)
        first = [instance for instance in ours if instance.target in eager]
        for instance in first:
            instance.state = "opening"
            self._tasks.start_soon(self._own, instance, name=f"heykit owner of {instance.name}")
        for instance in first:
            await instance.settled.wait()

    def spawn(self, own: Own) -> None:
        """Start a task of the lifespan; raises `NotOpen` once it is over."""
        try:
            self._orders.send_nowait(own)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError):
            raise NotOpen("this application has ended: nothing is opened any more") from None

    async def _take_orders(self) -> None:
        with anyio.CancelScope(shield=True):
            async with self._ordered:
                async for own in self._ordered:
                    self._tasks.start_soon(own)

    def _want(self, instance: Instance) -> Instance:
        if instance.state == "failed" and instance.ended.is_set() and instance.target not in self._critical:
            renewed = Instance(instance.target, instance.beneath, scope=instance.scope, shared=instance.shared)
            self._instances.add(renewed, self._want)
            self.ours[self.ours.index(instance)] = renewed  # in its place: it has ended
            if instance in self._keeper.opened:
                self._keeper.opened.remove(instance)
            instance = renewed
        if instance.state == "lazy":
            self.spawn(partial(self._own, instance))
            instance.state = "opening"
        return instance

    async def close(self) -> None:
        """Close in order, whatever reaches the task that asks for it meanwhile."""
        done = anyio.Event()
        self._tasks.start_soon(self._close_in_order, done)
        cancelled: BaseException | None = None
        with anyio.CancelScope(shield=True):
            while not done.is_set():
                try:
                    await done.wait()
                except anyio.get_cancelled_exc_class() as error:  # from outside anyio: remembered, not obeyed
                    cancelled = error
        if cancelled is not None:
            raise cancelled

    async def _close_in_order(self, done: anyio.Event) -> None:
        with anyio.CancelScope(shield=True):
            await self._orders.aclose()
            pools = [
                pool for kept, pool in self._instances.pools.items() if self._is_outer or self._rests_on_ours(kept)
            ]
            self._keeper.unclosed.extend(await close_pools(pools))
            self._abandon(self.ours)
            for instance in self.ours:
                if instance.state == "opening":
                    await outlast(instance.settled)
            for instance in [*reversed(self._keeper.opened), *self.ours]:
                self._instances.values.pop(instance.target, None)  # nobody gets what is closing
                if instance.state != "lazy":
                    instance.end()
                    await outlast(instance.ended)
            done.set()

    def _rests_on_ours(self, target: Dependency) -> bool:
        """Tell whether what is kept needs anything of this lifespan, which is not the outermost."""
        ours = {instance.target for instance in self.ours}
        beneath, waiting = set[Dependency](), [target]
        while waiting:
            current = self._instances.target(waiting.pop())
            if current not in beneath:
                beneath.add(current)
                needs = current.needs if isinstance(current, Provider) else needs_of(current)
                waiting.extend(need.dependency for need in needs if need.dependency is not None)
        return not ours.isdisjoint(beneath)

    def _is_fatal(self, instance: Instance) -> bool:
        if self.serving or instance.target not in self._critical:
            return False
        self.failures.append(instance)
        self._abandon(self.ours)
        return True

    def _abandon(self, instances: Iterable[Instance]) -> None:
        for instance in instances:
            if instance.state in {"opening", "failed"}:
                instance.abandon()

    async def _own(self, instance: Instance) -> None:
        # Shielded for life: an outer cancellation reaches the lifespan, which closes its things in order.
        with anyio.CancelScope(shield=True):
            try:
                await self._keeper.keep(instance)
            finally:
                self._instances.values.pop(instance.target, None)
                if instance.state == "opening":
                    instance.state = "closed"
                instance.settled.set()
                instance.ended.set()
