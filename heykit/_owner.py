"""Opening what lives as long as an application: each thing owned by one task, which keeps its failure to itself."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
from anyio.abc import TaskGroup

from heykit._instances import Instance, Instances
from heykit._life import End, Life, Limits, Own
from heykit._needs import Dependency, name_of, needs_of
from heykit._provider import Options, Provider, entering
from heykit._singletons import held_singleton
from heykit.errors import NotOpen, ShutdownError, StartupError
from heykit.resilience import Retry, pauses

logger = logging.getLogger("heykit.lifetime")

# How often a thing whose fallback serves is tried again: seconds, doubled up to the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


@asynccontextmanager
async def opening(found: Sequence[Instance], eager: Iterable[Dependency], into: Instances) -> AsyncGenerator[None]:
    """Open instances, each after those it names, side by side; close them in reverse order of opening.

    Lazy ones open when somebody obtains them. Raises `StartupError` from the first failure, after closing what was
    open, and `ShutdownError` for what failed to close.
    """
    ours = [instance for instance in found if instance.target not in into]
    body: BaseException | None = None
    # What an exception group would wrap is raised after it: the person who reads it needs the one cause.
    async with anyio.create_task_group() as tasks:
        owners = _Owners(into, tasks)
        try:
            await owners.open(ours, set(eager))
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


def _shutdown_error(unclosed: Sequence[tuple[Instance, BaseException]]) -> ShutdownError:
    names = ", ".join(instance.name for instance, _ in unclosed)
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
        self.unclosed: list[tuple[Instance, BaseException]] = []
        self._instances = instances
        self._tasks = tasks
        self._opened: list[Instance] = []
        self._eager: set[Dependency] = set()
        # Whoever asks for a lazy thing must not be the parent of its task: the thing would inherit their context.
        self._orders, self._ordered = anyio.create_memory_object_stream[Own](math.inf)

    async def open(self, ours: Sequence[Instance], eager: set[Dependency]) -> None:
        self.ours = list(ours)
        self._eager = eager
        if not self._instances.pools:
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
        if instance.state == "failed" and instance.ended.is_set() and instance.target not in self._eager:
            renewed = Instance(instance.target, instance.beneath, scope=instance.scope, shared=instance.shared)
            self._instances.add(renewed, self._want)
            self.ours[self.ours.index(instance)] = renewed  # in its place: it has ended
            if instance in self._opened:
                self._opened.remove(instance)
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
            for pool in [*self._instances.pools.values()]:
                await pool.close()
            self._abandon(self.ours)
            for instance in self.ours:
                if instance.state == "opening":
                    await instance.settled.wait()
            for instance in reversed(self._opened):
                self._instances.values.pop(instance.target, None)  # nobody gets what is closing
                instance.end()
                await instance.ended.wait()
            done.set()

    def _abandon(self, instances: Iterable[Instance]) -> None:
        for instance in instances:
            if instance.state == "opening":
                instance.abandon()

    async def _own(self, instance: Instance) -> None:
        # Shielded for life: an outer cancellation reaches the lifespan, which closes its things in order.
        with anyio.CancelScope(shield=True):
            try:
                if await self._beneath_serves(instance):
                    await self._keep(instance)
            finally:
                self._instances.values.pop(instance.target, None)
                if instance.state == "opening":
                    instance.state = "closed"
                instance.settled.set()
                instance.ended.set()

    async def _beneath_serves(self, instance: Instance) -> bool:
        for target in instance.beneath:
            below = self._instances.get(target)
            if below is not None:
                below = self._want(below) if below.state in {"lazy", "failed"} else below
                await below.settled.wait()
                if not below.serves:
                    instance.error = below.error
                    instance.state = "failed" if self.serving else "opening"
                    return False
        return True

    async def _keep(self, instance: Instance) -> None:
        """Hold it open until asked to end; where it cannot be, on its fallback, and try again now and then."""
        pause = _FIRST_PAUSE
        while True:
            end = await self._attempts(instance)
            if end.how in {"closed", "given up"}:
                instance.state = "closed"
                return
            if end.how == "not closed":
                self._not_closed(instance, end)
                return
            if not await self._falls_back(instance, end):
                return
            with anyio.move_on_after(pause):
                await instance.stop.wait()
            if instance.stop.is_set():
                instance.state = "closed"
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _not_closed(self, instance: Instance, end: End) -> None:
        instance.state = "closed"
        assert end.error is not None
        logger.error("%s could not be closed", instance.describe(), exc_info=end.error)
        self.unclosed.append((instance, end.error))

    async def _falls_back(self, instance: Instance, end: End) -> bool:
        """Serve the fallback; without one it has failed."""
        instance.error = end.error
        if end.how == "failed":
            instance.state = "failed"  # until something else serves
            self._instances.values.pop(instance.target, None)
            logger.error("%s failed while serving", instance.describe(), exc_info=end.error)
        fallback = _options(instance.target).fallback
        if fallback is None:
            self._fail(instance)
            return False
        try:
            value = await self._instances.obtain(fallback)
        except Exception as error:  # noqa: BLE001 - whatever it is, neither serves
            instance.error = error.__cause__ or error
            self._fail(instance)
            return False
        if instance.state != "fallback":
            logger.warning(
                "%s is away; %s serves instead", instance.describe(), name_of(fallback), exc_info=instance.error
            )
        self._publish(instance, value, "fallback")
        return True

    def _fail(self, instance: Instance) -> None:
        instance.state = "failed"
        self._instances.values.pop(instance.target, None)
        if not self.serving and instance.target in self._eager:
            self.failures.append(instance)
            self._abandon(self._instances)

    async def _attempts(self, instance: Instance) -> End:
        """Open it, as often as its policy says and within its time limit; tell how that life ended."""
        options = _options(instance.target)
        policy = options.retry or Retry(attempts=1)
        until = anyio.current_time() + min(options.timeout, policy.deadline if options.retry else math.inf)
        for number, pause in enumerate((*pauses(policy), None), start=1):
            end = await self._one_life(instance, Limits(until - anyio.current_time(), options.timeout, options.timeout))
            if pause is None or end.how != "not opened" or not _is_worth(policy, end, until - pause):
                return end
            logger.warning(
                "attempt %d of %d to open %s failed; again in %.2f s",
                number, policy.attempts, instance.describe(), pause, exc_info=end.error,
            )  # fmt: skip
            with anyio.move_on_after(pause):
                await instance.stop.wait()
        raise AssertionError("the last attempt has no pause")

    async def _one_life(self, instance: Instance, limits: Limits) -> End:
        started = anyio.current_time()

        def opened(value: object) -> None:
            instance.open_seconds = anyio.current_time() - started
            instance.error = None
            self._publish(instance, value, "open")

        instance.life = Life()
        if instance.abandoned or instance.stop.is_set():
            instance.life.abandon()
        return await instance.life.live(partial(self._enter, instance), opened, limits)

    def _publish(self, instance: Instance, value: object, state: str) -> None:
        instance.value = value
        instance.state = "open" if state == "open" else "fallback"
        self._instances.values[instance.target] = value
        if instance not in self._opened:
            self._opened.append(instance)
        instance.settled.set()

    async def _enter(self, instance: Instance, stack: AsyncExitStack) -> object:
        target = instance.target
        if instance.shared and isinstance(target, Provider):
            return await stack.enter_async_context(held_singleton(target))
        needs = target.needs if isinstance(target, Provider) else needs_of(target)
        arguments: Mapping[str, object] = {
            need.name: await self._instances.obtain(need.dependency) for need in needs if need.dependency is not None
        }
        enter = target.enter if isinstance(target, Provider) else entering(target)
        return await enter(arguments, stack)


def _options(target: Dependency) -> Options:
    return target.options if isinstance(target, Provider) else Options()


def _is_worth(policy: Retry, end: End, latest: float) -> bool:
    return isinstance(end.error, Exception) and policy.is_worth(end.error) and anyio.current_time() < latest
