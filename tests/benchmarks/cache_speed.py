"""How fast the caches are beside others, in one interleaved run, and what an entry takes.

Run it from the root of the repository: `python -m tests.benchmarks.cache_speed`; it needs cachetools and cashews.
A server of its own is started for what needs one. The figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import itertools
import random
import socket
import time
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, TypeAlias

from heykit.cache import Cache, hybrid_cache, json_codec, memory_cache
from heykit.resources import redis_client
from tests.benchmarks.driving import say
from tests.cache.elsewhere import elsewhere, here
from tests.servers import started_valkey

SIZE, KEYS, TTL = 10_000, 100_000, 600.0
Seconds: TypeAlias = float


def names(count: int) -> list[str]:
    return [f"key:{number}" for number in range(count)]


def asked(count: int) -> list[str]:
    """Ask for KEYS keys as zipf(0.99) does."""
    weights = [*itertools.accumulate(1 / (rank + 1) ** 0.99 for rank in range(KEYS))]
    return random.Random(5).choices(names(KEYS), cum_weights=weights, k=count)


HITS = random.Random(1).choices(names(SIZE), k=50_000)
MIX = asked(100_000)


@asynccontextmanager
async def cashews() -> AsyncGenerator[Any]:
    cache: Any = importlib.import_module("cashews").Cache()
    cache.setup(f"mem://?size={SIZE}")
    await cache.init()
    yield cache
    await cache.close()


async def gets(get: Callable[[str], Awaitable[object]], keys: Sequence[str]) -> Seconds:
    began = time.perf_counter()
    for key in keys:
        await get(key)
    return (time.perf_counter() - began) / len(keys)


async def ours(ttl: float | None) -> tuple[Seconds, Seconds]:
    async with memory_cache(int, max_size=SIZE, default_ttl=ttl) as cache:
        for key in names(SIZE):
            await cache.set(key, 1)
        hit = await gets(cache.get, HITS)
    async with memory_cache(int, max_size=SIZE, default_ttl=ttl) as cache:
        began = time.perf_counter()
        for key in MIX:
            if await cache.get(key) is None:
                await cache.set(key, 1)
        return hit, (time.perf_counter() - began) / len(MIX)


async def not_awaited() -> tuple[Seconds, Seconds]:
    async with memory_cache(int, max_size=SIZE, default_ttl=TTL) as cache:
        for key in names(SIZE):
            cache.set_nowait(key, 1)
        began = time.perf_counter()
        for key in HITS:
            cache.get_nowait(key)
        hit = (time.perf_counter() - began) / len(HITS)
    async with memory_cache(int, max_size=SIZE, default_ttl=TTL) as cache:
        began = time.perf_counter()
        for key in MIX:
            if cache.get_nowait(key) is None:
                cache.set_nowait(key, 1)
        return hit, (time.perf_counter() - began) / len(MIX)


async def cachetools() -> tuple[Seconds, Seconds]:
    made: Any = importlib.import_module("cachetools")
    cache = made.TTLCache(SIZE, TTL)
    for key in names(SIZE):
        cache[key] = 1
    began = time.perf_counter()
    for key in HITS:
        cache.get(key)
    hit = (time.perf_counter() - began) / len(HITS)
    cache = made.TTLCache(SIZE, TTL)
    began = time.perf_counter()
    for key in MIX:
        if cache.get(key) is None:
            cache[key] = 1
    return hit, (time.perf_counter() - began) / len(MIX)


async def of_cashews() -> tuple[Seconds, Seconds]:
    few = 10_000
    async with cashews() as cache:
        for key in names(SIZE):
            await cache.set(key, 1, expire=TTL)
        hit = await gets(cache.get, HITS[:few])
    async with cashews() as cache:
        began = time.perf_counter()
        for key in MIX[: 2 * few]:
            if await cache.get(key) is None:
                await cache.set(key, 1, expire=TTL)
        return hit, (time.perf_counter() - began) / (2 * few)


async def memory(rounds: int) -> None:
    found: dict[str, list[tuple[Seconds, Seconds]]] = {}
    for _ in range(rounds):
        for name, measured in (
            ("ours", ours(TTL)),
            ("ours, without times", ours(None)),
            ("ours, not awaited", not_awaited()),
            ("cachetools", cachetools()),
            ("cashews", of_cashews()),
        ):
            gc.collect()
            found.setdefault(name, []).append(await measured)
    for name, told in found.items():
        hit, mix = (median(each[at] for each in told) for at in (0, 1))
        say(f"{name:20} get hit {hit * 1e9:6.0f} ns   zipf mix {mix * 1e9:6.0f} ns")
    for peer, least in (("cachetools", (4, 2.5)), ("cashews", (10, 6))):
        for at, what in enumerate(("get hit", "zipf mix")):
            for own in ("ours", "ours, without times", "ours, not awaited"):
                ratio = median(other[at] / mine[at] for mine, other in zip(found[own], found[peer], strict=True))
                verdict = "pass" if ratio >= least[at] else "FAIL"
                say(f"{what} before {peer}, {own}: {ratio:.2f} times   at least {least[at]}  {verdict}")


async def bytes_an_entry() -> None:
    keys, value = names(KEYS), object()
    mix = asked(200_000)
    for ttl in (None, TTL):
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        async with memory_cache(object, max_size=SIZE, default_ttl=ttl) as cache:
            for key in keys[:SIZE]:
                await cache.set(key, value)
            gc.collect()
            filled = tracemalloc.get_traced_memory()[0] - before
            for key in mix:
                if await cache.get(key) is None:
                    await cache.set(key, value)
            gc.collect()
            used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for what, size in (("filled", filled), ("after 200,000 requests", used)):
            verdict = "pass" if size / SIZE <= 200 else "FAIL"
            say(f"bytes an entry, {'with' if ttl else 'without'} times, {what}: {size / SIZE:.0f}   200  {verdict}")


async def hybrid(url: str, port: int, rounds: int) -> None:
    made: Any = importlib.import_module("cashews")
    peer: Any = made.Cache()
    # Over RESP3, the driver's default, it would not be told of any change.
    peer.setup(f"redis://127.0.0.1:{port}", client_side=True, client_side_prefix="peer:", protocol=2)
    await peer.init()
    async with redis_client(url) as redis, hybrid_cache(redis, json_codec(int), prefix="ours:") as cache:
        await cache.set("x", 1)
        await peer.set("x", 1, expire=TTL)
        await asyncio.sleep(0.2)
        assert await peer.get("x") == 1
        ratios = []
        for _ in range(rounds):
            mine = await _hits(cache, 20_000)
            other = await gets(peer.get, ["x"] * 5000)
            ratios.append(other / mine)
            say(f"hit in memory: ours {mine * 1e6:.2f} µs, cashews' client side {other * 1e6:.2f} µs")
        verdict = "pass" if median(ratios) >= 4 else "FAIL"
        say(f"hit in memory before cashews' client side: {median(ratios):.1f} times   at least 4  {verdict}")
    await peer.close()


async def _hits(cache: Cache[int], count: int) -> Seconds:
    await cache.get("x")
    before = cache.stats().l1_hits
    took = await gets(cache.get, ["x"] * count)
    assert cache.stats().l1_hits - before == count
    return took


async def lag(url: str) -> None:
    async with here(url) as process, elsewhere(url) as other:
        lags = []
        for turn in range(1, 300):
            await process.cache.set("lag", -turn)
            await asyncio.sleep(0.005)
            seeing = asyncio.create_task(other.do("seen", "lag", turn))
            await asyncio.sleep(0.01)
            await process.cache.set("lag", turn)
            told = time.monotonic()
            seen = await seeing
            assert isinstance(seen, float)
            lags.append(max(0.0, seen - told))
        lags.sort()
        verdict = "pass" if median(lags) < 0.001 else "FAIL"
        say(
            f"another process sees it {median(lags) * 1e3:.2f} ms after set() (p99 {lags[-3] * 1e3:.2f})   1  {verdict}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    asyncio.run(memory(rounds))
    asyncio.run(bytes_an_entry())
    servers = started_valkey()
    server = next(servers)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server.say(f"CONFIG SET port {port}")  # cashews knows no Unix sockets
    try:
        asyncio.run(hybrid(server.url(), port, rounds))
        asyncio.run(lag(server.url()))
    finally:
        next(servers, None)


if __name__ == "__main__":
    main()
