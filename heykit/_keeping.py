"""How one long-lived thing is kept: opened, tried again, replaced by its fallback, closed when asked."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import chain

import anyio

from heykit._instances import Instance, Instances
from heykit._life import End, Life, Limits
from heykit._needs import Dependency, name_of, needs_of
from heykit._provider import Options, Provider, entering
from heykit._singletons import held_singleton
from heykit.errors import HeykitError, NotOpen
from heykit.resilience import Retry, pauses

logger = logging.getLogger("heykit.lifetime")

# How often a thing whose fallback serves is tried again: seconds, doubled up to the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class Keeper:
    """Keeps the instances of one lifespan, each in the task that asks for it.

    `is_fatal` is told of one that does not serve, and says whether that ends the start.
    """

    def __init__(
        self,
        instances: Instances,
        is_fatal: Callable[[Instance], bool],
    ) -> None:
        self.opened: list[Instance] = []  # in order
        self.unclosed: list[tuple[str, BaseException]] = []  # by name
        self._instances = instances
        self._is_fatal = is_fatal

    async def _missing_beneath(self, instance: Instance) -> End | None:
        """Wait for what it needs; where something of that does not serve, it need not be tried."""
        for target in instance.beneath:
            below = self._instances.get(target)
            if below is not None:
                try:
                    below = self._instances.wanted(below) if below.state in {"lazy", "failed"} else below
                except NotOpen:  # the application ends just now
                    return End("given up")
                await below.settled.wait()
                if below.state == "closed":
                    return End("given up")
                if not below.serves:
                    return End("not opened", below.error or RuntimeError(f"{below.name} has failed, and cleans up"))
        return None

    async def keep(self, instance: Instance) -> None:
        """Hold it open until asked to end; where it cannot be, on its fallback, and try again now and then."""
        pause = _FIRST_PAUSE
        while True:
            begun = anyio.current_time()
            end = await self._missing_beneath(instance) or await self._attempts(instance)
            if end.how == "failed" and anyio.current_time() - begun > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE  # it has served well for a while
            if end.how in {"closed", "given up"}:
                instance.state = "closed"
                return
            if end.how == "not closed":
                self._not_closed(instance, end)
                return
            fallback = await self._falls_back(instance, end)
            if fallback is None and not self._failed(instance):
                return
            if fallback is None:
                await _first_of(pause, instance.over)
            else:
                await _first_of(pause, instance.over, fallback.lost)
            if fallback is not None and fallback.lost.is_set():
                # As soon as something serves in its place again, or it can be opened again.
                await _first_of(pause, instance.over, fallback.published, fallback.ended)
            if instance.over.is_set():
                instance.state = "closed"
                return
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _not_closed(self, instance: Instance, end: End) -> None:
        instance.state = "closed"
        assert end.error is not None
        logger.error("%s could not be closed", instance.describe(), exc_info=end.error)
        self.unclosed.append((instance.name, end.error))

    async def _falls_back(self, instance: Instance, end: End) -> Instance | None:
        """Serve the fallback, and give the instance of it; without one it has failed."""
        instance.error = end.error
        if end.how == "failed":
            logger.error("%s failed while serving", instance.describe(), exc_info=end.error)
        fallback = _options(instance.target).fallback
        if fallback is None:
            return None
        try:
            value = await self._instances.obtain(fallback)
        except Exception as error:  # noqa: BLE001 - whatever it is, neither serves
            instance.error = error.__cause__ or error
            return None
        if instance.state != "fallback":
            logger.warning(
                "%s is away; %s serves instead", instance.describe(), name_of(fallback), exc_info=instance.error
            )
        self._publish(instance, value, "fallback")
        serving = self._instances.get(self._instances.target(fallback))
        if serving is not None:
            serving.stands_in_for.add(instance)
        return serving

    def _failed(self, instance: Instance) -> bool:
        """Tell of one that does not serve; say whether to try it again, which needs something to serve meanwhile."""
        self._withdraw(instance)
        is_serious = self._is_fatal(instance)
        instance.settled.set()
        return not is_serious and _options(instance.target).fallback is not None

    async def _attempts(self, instance: Instance) -> End:
        """Open it, as often as its policy says and within its time limit; tell how that life ended."""
        options = _options(instance.target)
        policy = options.retry or Retry(attempts=1, deadline=math.inf)
        limits = Limits(options.timeout, options.timeout, options.timeout)
        if policy.deadline < options.timeout:
            limits = Limits(policy.deadline, options.timeout, policy.deadline, "its Retry's deadline=")
        until = anyio.current_time() + limits.opening
        for number, pause in enumerate(chain(pauses(policy), [None]), start=1):
            end = await self._one_life(instance, replace(limits, opening=until - anyio.current_time()))
            if pause is None or end.how != "not opened" or not _is_worth(policy, end, until - pause):
                return end
            said = f"{type(end.error).__name__}: {end.error}"
            logger.warning(
                "attempt %d of %d to open %s failed (%s); again in %.2f s",
                number, policy.attempts, instance.describe(), said, pause,
                exc_info=None if isinstance(end.error, HeykitError) else end.error,  # ours say by themselves what to do
            )  # fmt: skip
            with anyio.move_on_after(pause):
                await instance.over.wait()
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

        async def hold() -> None:
            try:
                await instance.life.until_ended()
            except BaseException:
                self._withdraw(instance)  # at once: while it cleans up nobody gets it
                raise

        return await instance.life.live(partial(self._enter, instance), opened, limits, hold)

    def _withdraw(self, instance: Instance) -> None:
        """Hand it out no more, nor in the place of another."""
        instance.state = "failed"
        instance.lost.set()
        instance.published = anyio.Event()
        for other in instance.stands_in_for:
            if other.state == "fallback":
                self._withdraw(other)
        instance.stands_in_for.clear()
        self._instances.values.pop(instance.target, None)

    def _publish(self, instance: Instance, value: object, state: str) -> None:
        instance.value = value
        instance.lost = anyio.Event()
        instance.state = "open" if state == "open" else "fallback"
        self._instances.values[instance.target] = value
        if instance in self.opened:
            self.opened.remove(instance)  # it closes before what it was opened on just now
        self.opened.append(instance)
        instance.published.set()
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


async def _first_of(seconds: float, *events: anyio.Event) -> None:
    """Wait for the first of some events, or so many seconds."""
    with anyio.move_on_after(seconds):
        async with anyio.create_task_group() as tasks:
            for event in events:
                tasks.start_soon(_then, event, tasks.cancel_scope.cancel)


async def _then(event: anyio.Event, act: Callable[[], object]) -> None:
    await event.wait()
    act()
