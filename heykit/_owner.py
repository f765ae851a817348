"""One task owns one long-lived thing, from its opening to its closing.

Cancel scopes and task groups must be left in the task that entered them, so nobody else may close what a task opened.
An owner keeps its own failure to itself: it marks it, and never cancels a sibling.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import anyio

from heykit._instances import Instance, Instances
from heykit._needs import Dependency, name_of, needs_of
from heykit._provider import Options, Provider, entering
from heykit.errors import ShutdownError, StartupError

logger = logging.getLogger("heykit.lifetime")


@asynccontextmanager
async def opening(targets: Sequence[tuple[Dependency, Sequence[Dependency]]], into: Instances) -> AsyncGenerator[None]:
    """Open targets, each after those it names, side by side; close them in reverse order of opening.

    Raises `StartupError` from the first failure, after closing what was open, and `ShutdownError` for what failed to
    close.
    """
    ours = [_instance(target, beneath, into) for target, beneath in targets if target not in into]
    opened: list[Instance] = []
    body: Exception | None = None
    # What an exception group would wrap is raised after it: the person who reads it needs the one cause.
    async with anyio.create_task_group() as owners:
        try:
            for instance in ours:
                owners.start_soon(_own, instance, into, opened, name=f"heykit owner of {instance.name}")
            await _all_settled(ours)
            if all(instance.serves for instance in ours):
                yield
        except Exception as error:  # noqa: BLE001 - raised below, outside the group
            body = error
        finally:
            with anyio.CancelScope(shield=True):
                await _close(ours, opened)
    for instance in ours:
        into.discard(instance)
    _raise_first(ours, opened, body)


def _instance(target: Dependency, beneath: Sequence[Dependency], into: Instances) -> Instance:
    instance = Instance(target, tuple(found for found in map(into.get, beneath) if found is not None))
    into.add(instance)
    return instance


async def _all_settled(instances: Sequence[Instance]) -> None:
    for instance in instances:
        await instance.settled.wait()


async def _close(ours: Sequence[Instance], opened: Sequence[Instance]) -> None:
    _abandon(ours)
    await _all_settled(ours)
    for instance in reversed(opened):
        instance.stop.set()
        await instance.ended.wait()


def _abandon(instances: Sequence[Instance]) -> None:
    for instance in instances:
        if instance.state == "opening":
            instance.abandoned = True
            instance.scope.cancel()


def _raise_first(ours: Sequence[Instance], opened: Sequence[Instance], body: Exception | None) -> None:
    failed = [instance for instance in ours if instance.error is not None]
    for instance in failed:
        if instance not in opened and body is None:
            assert instance.error is not None
            raise StartupError(
                f"{instance.describe()} could not be opened: {_said(instance.error)}"
            ) from instance.error
    if body is not None:
        raise body
    unclosed = [instance for instance in failed if instance.state == "closed"]
    if unclosed:
        names = ", ".join(instance.name for instance in unclosed)
        errors = [instance.error for instance in unclosed if instance.error is not None]
        raise ShutdownError(f"not everything could be closed: {names}", errors) from errors[0]


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _own(instance: Instance, instances: Instances, opened: list[Instance]) -> None:
    # Shielded for life: an outer cancellation reaches the lifespan, which closes its things in order.
    with anyio.CancelScope(shield=True):
        try:
            await _all_settled(instance.dependencies)
            if all(dependency.serves for dependency in instance.dependencies):
                await _live(instance, instances, opened)
            if instance.error is not None and instance not in opened:
                await _fall_back(instance, instances, opened)
        finally:
            if instance.state == "opening":
                instance.state = "closed" if instance.error is None else "failed"
            instances.values.pop(instance.target, None)
            instance.settled.set()
            instance.ended.set()


async def _fall_back(instance: Instance, instances: Instances, opened: list[Instance]) -> None:
    fallback = _options(instance.target).fallback
    if fallback is not None and not instance.abandoned:
        logger.warning(
            "%s could not be opened; %s serves instead", instance.describe(), name_of(fallback), exc_info=instance.error
        )
        instance.serving = instances.overrides.get(fallback, fallback)
        await _live(instance, instances, opened)
    if instance not in opened:
        _abandon(list(instances))


async def _live(instance: Instance, instances: Instances, opened: list[Instance]) -> None:
    if instance.abandoned:
        return
    with anyio.CancelScope() as instance.scope:
        try:
            await _open_and_close(instance, instances, opened)
        except Exception as error:  # noqa: BLE001 - a sibling and the server go on; it is marked, logged, raised at the end
            _failed(instance, error)
    if instance.scope.cancelled_caught and anyio.current_time() >= instance.scope.deadline:
        doing = "close" if instance.state == "closed" else "open"
        limit = _options(instance.serving).timeout
        _failed(
            instance, TimeoutError(f"it took more than {limit:g} s to {doing}; its provider's timeout= sets the limit")
        )


async def _open_and_close(instance: Instance, instances: Instances, opened: list[Instance]) -> None:
    options = _options(instance.serving)
    started = anyio.current_time()
    instance.scope.deadline = started + options.timeout
    async with AsyncExitStack() as stack:
        instance.value = await _enter(instance.serving, instances, stack)
        instance.scope.deadline = math.inf
        instance.open_seconds = anyio.current_time() - started
        instance.state = "open" if instance.serving is instance.target else "fallback"
        instances.values[instance.target] = instance.value
        opened.append(instance)
        instance.settled.set()
        await instance.stop.wait()
        instance.state, instance.error = "closed", None
        instances.values.pop(instance.target, None)
        instance.scope.deadline = anyio.current_time() + options.timeout
    if instance.state != "closed":
        _failed(instance, RuntimeError("it ended by itself while the application was running"))


async def _enter(target: Dependency, instances: Instances, stack: AsyncExitStack) -> object:
    needs = target.needs if isinstance(target, Provider) else needs_of(target)
    arguments = {need.name: instances.value(need.dependency) for need in needs if need.dependency is not None}
    enter = target.enter if isinstance(target, Provider) else entering(target)
    return await enter(arguments, stack)


def _options(target: Dependency) -> Options:
    return target.options if isinstance(target, Provider) else Options()


def _failed(instance: Instance, error: Exception) -> None:
    instance.error = error
    if instance.state == "closed":
        logger.error("%s could not be closed", instance.describe(), exc_info=error)
        return
    if instance.serves:
        logger.error("%s failed while serving; the rest goes on", instance.describe(), exc_info=error)
        instance.state = "failed"
