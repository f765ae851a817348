from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heykit.cache import Cache, Strategy, memory_cache
from heykit.cache.entry import Entry
from heykit.cache.policy import Expiries
from heykit.errors import NotOpen
from heykit.health import Checked
from tests.cache.model import Clock, Model

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Step: TypeAlias = Callable[[Cache[object], Model], Awaitable[None]]


async def keep(cache: Cache[int], *keys: str) -> None:
    for key in keys:
        await cache.set(key, 1)


async def kept(cache: Cache[int], keys: str) -> str:
    return "".join(await cache.get_many(keys))


async def test_a_value_is_got_as_it_was_set() -> None:
    value = object()
    async with memory_cache(object) as cache:
        await cache.set("a", value)

        assert await cache.get("a") is value


async def test_none_is_a_value_and_told_from_a_miss_by_the_default() -> None:
    async with memory_cache(cast("type[int | None]", object)) as cache:
        await cache.set("a", None)

        assert await cache.get("a", "missing") is None
        assert await cache.get("b", "missing") == "missing"
        assert await cache.get_many(["a", "b"]) == {"a": None}


async def test_a_value_is_there_until_its_time_and_gone_at_it() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=10, clock=clock) as cache:
        await cache.set("default", 1)
        await cache.set("own", 1, ttl=5)
        await cache.set("forever", 1, ttl=math.inf)

        clock.now = math.nextafter(5, 0)
        assert await cache.get("own") == 1
        clock.now = 5
        assert await cache.get("own") is None
        clock.now = 10
        assert await cache.get_many(["default", "own", "forever"]) == {"forever": 1}


async def test_delete_says_whether_there_was_a_value() -> None:
    clock = Clock()
    async with memory_cache(int, default_ttl=5, clock=clock) as cache:
        await keep(cache, "a", "b")
        assert [await cache.delete("a"), await cache.delete("a")] == [True, False]
        clock.now = 5
        assert await cache.delete("b") is False


async def test_s3fifo_keeps_what_is_used_while_a_scan_goes_through() -> None:
    async with memory_cache(int, max_size=100, strategy="s3fifo") as cache:
        used = [f"used-{number}" for number in range(50)]
        await keep(cache, *used)
        for _ in range(3):
            await cache.get_many(used)
        await keep(cache, *(f"scanned-{number}" for number in range(10_000)))
        assert len(await cache.get_many(used)) == 50


async def test_lru_lets_the_one_not_used_for_longest_go() -> None:
    async with memory_cache(int, max_size=2, strategy="lru") as cache:
        await keep(cache, "a", "b")
        await cache.get("a")
        await keep(cache, "c")
        assert await kept(cache, "abc") == "ac"

        await keep(cache, "a", "d")
        assert await kept(cache, "abcd") == "ad"


async def test_fifo_lets_the_one_that_came_first_go() -> None:
    async with memory_cache(int, max_size=2, strategy="fifo") as cache:
        await keep(cache, "a", "b", "a")
        await cache.get("a")
        await keep(cache, "c")

        assert await kept(cache, "abc") == "bc"


async def test_ttl_lets_the_one_that_expires_soonest_go_and_what_never_does_last() -> None:
    async with memory_cache(int, max_size=3, strategy="ttl") as cache:
        await cache.set("a", 1)
        await cache.set("b", 1, ttl=20)
        await cache.set("c", 1, ttl=10)
        await keep(cache, "d")
        assert await kept(cache, "abcd") == "abd"

        await keep(cache, "e", "f")
        assert await kept(cache, "abcdef") == "def"


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_what_has_expired_goes_before_anything_that_lives(strategy: Strategy) -> None:
    clock = Clock()
    async with memory_cache(int, max_size=3, strategy=strategy, clock=clock) as cache:
        await keep(cache, "a")
        await cache.set("b", 1, ttl=5)
        await keep(cache, "c")
        clock.now = 5
        await keep(cache, "d")

        assert await kept(cache, "abcd") == "acd"
        assert cache.stats().evictions == 0


@pytest.mark.parametrize("ttl", [0, -1, math.nan, -math.inf])
async def test_a_time_that_is_not_above_zero_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="default_ttl must be more than 0 seconds"):
        memory_cache(int, default_ttl=ttl)
    async with memory_cache(int) as cache:
        with pytest.raises(ValueError, match="ttl must be more than 0 seconds"):
            await cache.set("a", 1, ttl=ttl)
        with pytest.raises(ValueError, match="ttl must be more than 0 seconds"):
            await cache.set_many({"a": 1}, ttl=ttl)
        assert await cache.get("a") is None


@pytest.mark.parametrize("size", [0, -1])
def test_a_size_below_one_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="max_size must be 1 or more"):
        memory_cache(int, max_size=size)


def test_an_unknown_strategy_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(ValueError, match="one of s3fifo, lru, ttl, fifo, not 'newest'"):
        memory_cache(int, strategy=cast("Strategy", "newest"))


async def test_a_closed_cache_says_so_and_holds_nothing() -> None:
    async with memory_cache(int) as cache:
        await keep(cache, "a")

    for use in (cache.get("a"), cache.set("a", 1), cache.delete("a"), cache.clear(), cache.get_many("a")):
        with pytest.raises(NotOpen, match="async with"):
            await use
    with pytest.raises(NotOpen):
        await cache.set_many({"a": 1})
    assert cache.stats().size == 0
    assert (await cache.health()).status == "fail"


async def test_health_is_that_of_a_cache_with_its_figures() -> None:
    async with memory_cache(int, max_size=7) as cache:
        await keep(cache, "a")
        await cache.get_many(["a", "a", "b"])
        assert isinstance(cache, Checked)
        health = await cache.health()

    assert (health.status, health.kind) == ("pass", "cache")
    assert health.figures == {"hits": 1, "misses": 1, "size": 1, "max_size": 7, "evictions": 0, "expiries": 0}


def test_the_order_of_expiry_does_not_grow_with_what_is_gone() -> None:
    """A key set again and again leaves at most about as many dead references as there are live ones."""
    entries: dict[str, Entry[int]] = {}
    expiries = Expiries(entries.get)
    for turn in range(10_000):
        entries["a"] = Entry(1, 5.0, turn)
        expiries.add("a", entries["a"])
        assert len(expiries) <= 2 * len(entries) + 64

    assert [expiries.pop(until=4.9), expiries.pop(until=5.0)] == [None, "a"]


@given(st.lists(st.tuples(st.integers(0, 40).map(str), st.integers(0, 50)), min_size=70, max_size=150))
def test_what_expires_comes_in_order_whatever_was_set_again(added: list[tuple[str, int]]) -> None:
    entries: dict[str, Entry[int]] = {}
    expiries = Expiries(entries.get)
    for turn, (key, expires) in enumerate(added):
        entries[key] = Entry(1, expires, turn)
        expiries.add(key, entries[key])
    popped = [expiries.pop(until=50) for _ in range(len(entries) + 1)]

    assert popped == [*sorted(entries, key=lambda key: (entries[key].expires, entries[key].order)), None]


# Against the model: every answer, the order of eviction and all counts, for any history.

keys = st.sampled_from("abcd")
values = st.none() | st.integers(0, 9)
ttls = st.none() | st.sampled_from([0.1, 1.0, 2.0, 3.5, math.inf])


def getting(key: str) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        assert await cache.get(key, "missing") == model.get(key, "missing")

    return step


def setting(key: str, value: object, ttl: float | None) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        await cache.set(key, value, ttl=ttl)
        model.set(key, value, ttl)

    return step


def deleting(key: str) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        assert await cache.delete(key) is model.delete(key)

    return step


def getting_many(names: list[str]) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        expected = {name: model.get(name, "missing") for name in dict.fromkeys(names)}
        assert await cache.get_many(names) == {name: v for name, v in expected.items() if v != "missing"}

    return step


def setting_many(many: dict[str, object], ttl: float | None) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        await cache.set_many(many, ttl=ttl)
        for key, value in many.items():
            model.set(key, value, ttl)

    return step


def waiting(seconds: float) -> Step:
    async def step(cache: Cache[object], model: Model) -> None:
        model.clock.now += seconds

    return step


async def clearing(cache: Cache[object], model: Model) -> None:
    await cache.clear()
    model.clear()


async def jumping_to_the_next_expiry(cache: Cache[object], model: Model) -> None:
    model.clock.now = model.next_expiry()


async def jumping_just_before_it(cache: Cache[object], model: Model) -> None:
    model.clock.now = max(model.clock.now, math.nextafter(model.next_expiry(), -math.inf))


steps = st.one_of(
    *(st.builds(getting, keys) for _ in range(3)),
    *(st.builds(setting, keys, values, ttls) for _ in range(5)),
    st.builds(deleting, keys),
    st.builds(getting_many, st.lists(keys, max_size=4)),
    st.builds(setting_many, st.dictionaries(keys, values, max_size=4), ttls),
    st.builds(waiting, st.sampled_from([0.1, 0.5, 1.0])),
    st.just(clearing),
    st.just(jumping_to_the_next_expiry),
    st.just(jumping_just_before_it),
)


@settings(max_examples=200)
@given(
    strategy=st.sampled_from(STRATEGIES),
    max_size=st.integers(1, 3),
    default_ttl=st.none() | st.sampled_from([0.3, 2.0]),
    start=st.sampled_from([0.0, 1000.1]),
    history=st.lists(steps, min_size=5, max_size=50),
)
@example("lru", 1, None, 0.0, [setting("a", 1, 0.1), jumping_to_the_next_expiry, getting("a")])
async def test_any_history_goes_as_in_the_model(
    strategy: Strategy, max_size: int, default_ttl: float | None, start: float, history: list[Step]
) -> None:
    clock = Clock(start)
    model = Model(strategy, max_size, default_ttl, clock)
    async with memory_cache(
        object, max_size=max_size, default_ttl=default_ttl, strategy=strategy, clock=clock
    ) as cache:
        for step in history:
            await step(cache, model)
            assert cache.stats() == model.stats()
        await getting_many(list("abcd"))(cache, model)
