"""Instances by the value of another dependency: one a tenant, one a user session."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import AsyncExitStack

from heykit._instances import Instances
from heykit._life import Limits
from heykit._needs import Dependency, name_of, needs_of, place_of
from heykit._pool import Entry, Pool, end_all
from heykit._provider import Keyed, Provider, entering
from heykit.errors import NoKey


async def hold(
    instances: Instances, provider: Provider[object], key: object, stack: AsyncExitStack, holder: Entry | None = None
) -> object:
    """Give the instance for a key, held until the stack closes; `holder` is what is kept and needs it.

    Raises `NoKey` where the key is None or cannot be one, and `Unavailable` where it cannot be opened.
    """
    checked = _checked(provider, key)
    pool = instances.pools.get(provider)
    if pool is None:
        pool = _pool(instances, provider)
    timeout = provider.options.timeout

    async def enter(entry: Entry, opened: AsyncExitStack) -> object:
        return await _entered(instances, provider, entry, opened)

    entry = await pool.take(checked, enter, Limits(timeout, timeout, timeout))
    stack.callback(pool.give_back, entry)
    if holder is not None:
        holder.beneath.append(entry)
    return entry.value


async def end(instances: Instances, by: Dependency, value: object) -> None:
    """Close what is kept for a value of `by`, each once nobody holds it."""
    if not isinstance(value, Hashable):
        return
    kept = [pool for one, pool in instances.pools.items() if isinstance(one, Provider) and _keyed(one).by is by]
    await end_all([entry for pool in kept for entry in pool.retired(value)])


def _keyed(provider: Provider[object]) -> Keyed:
    assert provider.options.keyed is not None
    return provider.options.keyed


def _pool(instances: Instances, provider: Provider[object]) -> Pool:
    keyed = _keyed(provider)
    pool = Pool(provider.__name__, instances.spawn, idle=keyed.idle, limit=keyed.limit, opened=instances.kept)
    instances.pools[provider] = pool
    return pool


def _checked(provider: Provider[object], key: object) -> Hashable:
    by = name_of(_keyed(provider).by)
    file, line = place_of(provider.factory)
    if key is None:
        error = NoKey(f"{by} gave None: there is none of {provider.__name__} ({file}:{line}) without a value of it")
        error.status = 401 if provider.lifetime == "session" else 400
        raise error
    try:
        hash(key)
    except TypeError:
        raise NoKey(
            f"{by} gave a {type(key).__name__}, which is not hashable and cannot choose among the instances of "
            f"{provider.__name__} ({file}:{line}): let it give an id"
        ) from None
    return key


async def _entered(instances: Instances, dependency: Dependency, entry: Entry, stack: AsyncExitStack) -> object:
    """Open it on what lives longer, on the key itself, and on what is kept for the same key."""
    needs = dependency.needs if isinstance(dependency, Provider) else needs_of(dependency)
    arguments: dict[str, object] = {}
    for need in needs:
        if need.dependency is not None:
            arguments[need.name] = await _argument(instances, dependency, need.dependency, entry, stack)
    enter = dependency.enter if isinstance(dependency, Provider) else entering(dependency)
    return await enter(arguments, stack)


async def _argument(
    instances: Instances, holder: Dependency, wanted: Dependency, entry: Entry, stack: AsyncExitStack
) -> object:
    if isinstance(holder, Provider) and holder.options.keyed is not None and wanted is holder.options.keyed.by:
        return entry.key
    target = instances.target(wanted)
    if isinstance(target, Provider) and target.options.keyed is not None:
        return await hold(instances, target, entry.key, stack, entry)
    if target in instances:
        return await instances.obtain(wanted)
    return await _entered(instances, target, entry, stack)
