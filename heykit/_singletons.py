"""Singletons: one instance an event loop, shared by every application in it.

The task that owns one belongs to the loop, not to the application that came first: its exit would have to wait until
the last one leaves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import Context
from itertools import chain

import anyio
from anyio.lowlevel import RunVar

from heykit._life import Limits, Own, Spawn
from heykit._needs import Dependency, needs_of
from heykit._pool import Entry, Pool
from heykit._provider import Provider, entering
from heykit.errors import Unavailable
from heykit.resilience import Retry, pauses

_POOL: RunVar[Pool] = RunVar("heykit_singletons")


@asynccontextmanager
async def held_singleton(provider: Provider[object], *, within: float = math.inf) -> AsyncGenerator[object]:
    """Hold the singleton of this event loop, which is opened for the first who does and closed after the last.

    Raises TimeoutError where it is not open `within` so many seconds.
    """
    pool = _pool()
    timeout = provider.options.timeout
    limits = Limits(math.inf, timeout, timeout)  # the opening is limited by each who waits for it
    try:
        with anyio.fail_after(within):
            entry = await pool.take(provider, lambda _, stack: _entered(provider, stack), limits)
    except TimeoutError:
        raise limits.too_long(f"open {provider.__name__}") from None
    except Unavailable as refusal:
        raise refusal.__cause__ or refusal from None
    try:
        async with anyio.create_task_group() as watching:
            watching.start_soon(_raise_when_it_crashes, entry, watching.cancel_scope)
            yield entry.value
            watching.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:  # its crash, or what left the block: as it is, however deep it lies
            raise group.exceptions[0] from None
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await pool.leave(entry)


async def _raise_when_it_crashes(entry: Entry, holding: anyio.CancelScope) -> None:
    """Let go of it at once, and tell why when it has cleaned up."""
    await entry.closing.wait()
    holding.cancel()
    with anyio.CancelScope(shield=True):
        await entry.ended.wait()
    raise RuntimeError("it ended by itself") if entry.end is None or entry.end.error is None else entry.end.error


async def _entered(dependency: Dependency, stack: AsyncExitStack) -> object:
    """Open it on singletons of its own, and plain functions, which live as long as it does."""
    needs = dependency.needs if isinstance(dependency, Provider) else needs_of(dependency)
    arguments: dict[str, object] = {}
    for need in needs:
        if isinstance(need.dependency, Provider):
            arguments[need.name] = await _held_beneath(need.dependency, stack)
        elif need.dependency is not None:
            arguments[need.name] = await _entered(need.dependency, stack)
    enter = dependency.enter if isinstance(dependency, Provider) else entering(dependency)
    return await enter(arguments, stack)


async def _held_beneath(provider: Provider[object], stack: AsyncExitStack) -> object:
    """Hold one beneath another, by its own time limit and retries."""
    options = provider.options
    policy = options.retry or Retry(attempts=1, deadline=math.inf)
    until = anyio.current_time() + min(options.timeout, policy.deadline)
    for pause in chain(pauses(policy), [None]):
        try:
            return await stack.enter_async_context(held_singleton(provider, within=until - anyio.current_time()))
        except Exception as error:
            if pause is None or not policy.is_worth(error) or anyio.current_time() + pause >= until:
                raise
        await anyio.sleep(pause)
    raise AssertionError("the last attempt has no pause")


def _pool() -> Pool:
    found = _POOL.get(None)
    if found is None:
        found = Pool("the singletons", _spawner(), idle=0, limit=math.inf)
        _POOL.set(found)
    return found


def _spawner() -> Spawn:
    tasks: set[asyncio.Task[None]] = set()

    def spawn(own: Own) -> None:
        # Neither the application's scopes nor a request's context variables are a singleton's.
        task = asyncio.get_running_loop().create_task(own(), name="heykit singleton", context=Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return spawn
