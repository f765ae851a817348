"""The memory cache against its model: every answer, the order of eviction and all counts, for any history."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TypeAlias, get_args

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from heykit.cache import Cache, Strategy, memory_cache
from heykit.cache._counts import Counts
from heykit.cache._entry import GONE, Entry
from heykit.cache._expiries import Expiries
from heykit.cache._s3fifo import S3Fifo
from heykit.cache._store import Rules, Store
from tests.cache.model import Clock, Model, Queues

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
Step: TypeAlias = Callable[[Cache[object], Model], Awaitable[None]]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=200)
@given(
    max_size=st.integers(1, 3),
    default_ttl=st.none() | st.sampled_from([0.3, 2.0]),
    start=st.sampled_from([0.0, 1000.1]),
    history=st.lists(steps, min_size=5, max_size=50),
)
@example(1, None, 0.0, [setting("a", 1, 0.1), jumping_to_the_next_expiry, getting("a")])
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


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=100)
@given(max_size=st.integers(1, 12), history=st.lists(steps, min_size=5, max_size=50))
async def test_any_history_of_what_has_weight_goes_as_in_the_model(
    strategy: Strategy, max_size: int, history: list[Step]
) -> None:
    def weigh(value: object) -> int:
        return value if isinstance(value, int) else 1

    clock = Clock()
    model = Model(strategy, max_size, 2.0, clock, weigh)
    async with memory_cache(
        object, max_size=max_size, default_ttl=2.0, strategy=strategy, weigh=weigh, clock=clock
    ) as cache:
        for step in history:
            await step(cache, model)
            assert cache.stats() == model.stats()


# Long enough for ghosts, and for what goes in a circle.


def circles(draw: Callable[[st.SearchStrategy[int]], int]) -> list[int]:
    return [*range(draw(st.integers(5, 40)))] * draw(st.integers(1, 8))


def scans(draw: Callable[[st.SearchStrategy[int]], int]) -> list[int]:
    first = draw(st.integers(100, 10_000))
    return [*range(first, first + draw(st.integers(1, 60)))]


@st.composite
def streams(draw: Callable[[st.SearchStrategy[int]], int]) -> list[int]:
    made: list[int] = []
    for _ in range(draw(st.integers(1, 12))):
        made += [circles, scans][draw(st.integers(0, 1))](draw)
    return made


@settings(max_examples=200)
@given(size=st.integers(2, 40), stream=streams())
def test_s3fifo_lets_go_what_its_model_does(size: int, stream: list[int]) -> None:
    ours: S3Fifo[None] = S3Fifo(size)
    turning: S3Fifo[None] = S3Fifo(size)  # both in one
    model = Queues(size)
    there: set[str] = set()
    for number in stream:
        key = str(number)
        entry = ours.entries.get(key)
        assert (entry is not None) is (key in there)
        if entry is not None:
            entry.uses += 1
            turning.entries[key].uses += 1
            model.use(key)
            continue
        if len(there) >= size:
            gone = model.first()
            assert ours.evict().key == gone
            there.remove(gone)
            turning.turn_over(key)
        else:
            turning.add(Entry(key, None, math.inf))
        model.come(key, 1)
        ours.add(Entry(key, None, math.inf))
        there.add(key)
        assert turning.entries.keys() == there


def test_a_circle_a_little_larger_than_the_cache_leaves_a_part_of_it_there() -> None:
    ours: S3Fifo[None] = S3Fifo(100)
    hits = 0
    for number in [*range(120)] * 30:
        entry = ours.entries.get(str(number))
        if entry is not None:
            entry.uses += 1
            hits += 1
            continue
        if len(ours.entries) >= 100:
            ours.evict()
        ours.add(Entry(str(number), None, math.inf))

    assert hits > 0.6 * 30 * 120  # LRU has none


# The order of expiry.


@given(
    st.lists(st.tuples(st.integers(0, 20).map(str), st.integers(1, 50) | st.just(math.inf)), min_size=1, max_size=150)
)
def test_what_expires_comes_in_order_whatever_was_given_another_time(given: list[tuple[str, float]]) -> None:
    entries: dict[str, Entry[None]] = {}
    expiries: Expiries[None] = Expiries()
    for key, expires in given:
        entry = entries.setdefault(key, Entry(key, None, expires))
        entry.queue = 1
        entry.expires = expires
        if expires < entry.due and expires < math.inf:
            expiries.add(entry)
    popped = []
    while (first := expiries.pop(until=50)) is not None:
        first.queue = GONE
        popped.append(first.key)

    last = [key for key, entry in entries.items() if entry.expires < math.inf]
    assert popped == sorted(last, key=lambda key: (entries[key].expires, key))
    assert expiries.soonest == math.inf


def test_the_order_of_expiry_holds_little_that_is_gone() -> None:
    expiries: Expiries[None] = Expiries()
    for turn in range(10_000):
        entry = Entry("a", None, float(turn % 7 + turn // 100))
        entry.queue = 1
        expiries.add(entry)
        entry.queue = GONE
        assert len(expiries) <= 65


def test_one_key_given_more_and_less_time_again_and_again_takes_no_more_room() -> None:
    clock = Clock()
    store: Store[int] = Store(Rules(10, clock=clock), Counts())
    for turn in range(10_000):
        clock.now = turn / 1000
        store.put("a", turn, 1.0)
        store.put("a", turn, 200.0)
        assert len(store.expiries) < 200


def test_two_keys_that_take_turns_under_a_clock_that_stands_take_no_more_room() -> None:
    store: Store[int] = Store(Rules(1, clock=Clock()), Counts())
    for turn in range(10_000):
        store.put("ab"[turn % 2], turn, [20.0, 10.0][turn % 2])
        assert len(store.expiries) < 200


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([1.0, 5.0, 5.0, 5.0, 30.0])), max_size=200))
def test_what_is_let_go_and_stands_for_another_key_expires_when_that_one_does(sets: list[tuple[int, float]]) -> None:
    clock = Clock()
    store: Store[int] = Store(Rules(3, clock=clock), Counts())
    expires: dict[str, float] = {}
    for number, lifetime in sets:
        clock.now += 0.7
        store.put(str(number), number, lifetime)
        expires[str(number)] = clock.now + lifetime
        for key, entry in store.entries.items():
            assert (entry.key, entry.value, entry.expires) == (key, int(key), expires[key])
        kept = [entry.expires for entry in store.entries.values()]
        assert store.expiries.soonest <= min(kept)
