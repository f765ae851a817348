"""A breaker: what keeps failing is left alone for a while."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Awaitable, Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import IntegrityError, Overloaded, Unavailable
from heykit.resilience import Breaker, Bulkhead, breaker, bulkhead
from tests.resilience.clocks import Clock

Call = Callable[[Exception | None], Awaitable[object]]


class Peer:
    """Answers, or fails with what it is given."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, error: Exception | None) -> str:
        self.calls += 1
        if error is not None:
            raise error
        return "answer"


async def fail(call: Call, times: int = 1, error: Exception | None = None) -> None:
    for _ in range(times):
        with pytest.raises(OSError if error is None else type(error)):
            await call(error or OSError())


async def test_after_so_many_failures_in_a_row_nothing_is_called_until_the_cooldown_is_over() -> None:
    clock, peer = Clock(), Peer()
    call = breaker(Breaker(failures=3, cooldown=5), clock=clock)(peer)
    await fail(call, 2)
    assert await call(None) == "answer"  # they were not in a row
    await fail(call, 3)
    clock.now += 2
    with pytest.raises(Unavailable, match=r"is away, and not asked for 3\.0 s more") as refused:
        await call(None)
    assert refused.value.retry_after == 3
    assert refused.value.had_no_effect
    assert peer.calls == 6
    clock.now += 3
    assert await call(None) == "answer"
    assert await call(None) == "answer"


async def test_a_probe_that_fails_opens_it_for_another_cooldown() -> None:
    clock, peer = Clock(), Peer()
    call = breaker(Breaker(failures=2, cooldown=5), clock=clock)(peer)
    await fail(call, 2)
    clock.now += 5
    await fail(call)
    with pytest.raises(Unavailable):
        await call(None)
    assert peer.calls == 3


async def test_of_fifty_that_wait_one_is_the_probe() -> None:
    clock, gate, calls = Clock(), anyio.Event(), 0
    refused: list[float] = []

    @breaker(Breaker(failures=1, cooldown=5), clock=clock)
    async def call(error: Exception | None) -> str:
        nonlocal calls
        calls += 1
        if error is not None:
            raise error
        await gate.wait()
        return "answer"

    async def ask() -> None:
        try:
            await call(None)
        except Unavailable as error:
            refused.append(error.retry_after)

    await fail(call)
    clock.now += 5
    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        assert len(refused) == 49
        gate.set()
    assert calls == 2
    assert await call(None) == "answer"


async def test_a_cancelled_call_is_no_failure() -> None:
    async def hang(_: None) -> None:
        await anyio.sleep_forever()

    call = breaker(Breaker(failures=1))(hang)
    for _ in range(3):
        with anyio.move_on_after(0.001) as limit:
            await call(None)
        assert limit.cancelled_caught


async def test_after_a_cancelled_probe_the_next_call_is_the_probe() -> None:
    clock, hangs = Clock(), True

    @breaker(Breaker(failures=1, cooldown=5), clock=clock)
    async def call(error: Exception | None) -> str:
        if error is not None:
            raise error
        if hangs:
            await anyio.sleep_forever()
        return "answer"

    await fail(call)
    clock.now += 5
    with anyio.move_on_after(0.001):
        await call(None)
    hangs = False
    assert await call(None) == "answer"


async def test_what_a_call_of_an_earlier_turn_says_no_longer_counts() -> None:
    clock, slow = Clock(), anyio.Event()

    @breaker(Breaker(failures=1, cooldown=5), clock=clock)
    async def call(error: Exception | None) -> str:
        if error is None:
            await slow.wait()
            return "late answer"
        raise error

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, None)
        await anyio.wait_all_tasks_blocked()
        await fail(call)
        slow.set()
    with pytest.raises(Unavailable):
        await call(None)


async def test_the_callers_own_fault_says_that_the_peer_is_well() -> None:
    peer = Peer()
    call = breaker(Breaker(failures=2))(peer)
    await fail(call, 1)
    await fail(call, 5, IntegrityError("there is one already"))
    await fail(call, 1)
    assert await call(None) == "answer"


async def test_what_counts_may_be_named() -> None:
    call = breaker(Breaker(failures=1, on=(OSError,)))(Peer())
    await fail(call, 3, ValueError("not the peer"))
    await fail(call)
    with pytest.raises(Unavailable):
        await call(None)


async def test_it_is_said_once_that_it_opens_and_once_that_it_closes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock = Clock()

    @breaker(Breaker(failures=2, cooldown=5), clock=clock)
    async def rate(error: Exception | None) -> str:
        if error is not None:
            raise error
        return "answer"

    await fail(rate, 2)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await rate(None)
    clock.now += 5
    await rate(None)
    await rate(None)
    name = rate.__qualname__
    assert caplog.messages == [f"{name} is not called for 5 s: it failed 2 times", f"{name} is called again"]


async def test_that_too_many_ask_says_nothing_of_who_is_asked() -> None:
    gate = anyio.Event()

    @breaker(Breaker(failures=1))
    @bulkhead(Bulkhead(at_once=1))
    async def call() -> str:
        await gate.wait()
        return "answer"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            with pytest.raises(Overloaded):
                await call()
        gate.set()
    assert await call() == "answer"


async def test_a_probe_that_hangs_is_given_up_after_a_cooldown() -> None:
    clock, calls = Clock(), 0

    @breaker(Breaker(failures=1, cooldown=5), clock=clock)
    async def call(error: Exception | None) -> str:
        nonlocal calls
        calls += 1
        if error is not None:
            raise error
        if calls == 2:
            await anyio.sleep_forever()
        return "answer"

    await fail(call)
    clock.now += 5
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call, None)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Unavailable, match=r"not asked for 5\.0 s more"):
            await call(None)
        clock.now += 5
        assert await call(None) == "answer"
        tasks.cancel_scope.cancel()


async def test_a_message_shows_no_argument_of_a_partial() -> None:
    async def rate(error: Exception | None, *, api_key: str) -> None:
        raise error or OSError

    guarded = breaker(Breaker(failures=1))(functools.partial(rate, api_key="s3cret"))
    await fail(guarded)
    with pytest.raises(Unavailable, match=r"^test_a_message_shows_no_argument_of_a_partial\S*rate is away"):
        await guarded(None)


@given(st.lists(st.sampled_from(["answers", "fails", "second"]), max_size=60), st.integers(1, 4))
async def test_one_after_another_it_does_what_the_model_does(steps: list[str], failures: int) -> None:
    """The model: closed with a count, or open until a time."""
    clock, peer = Clock(), Peer()
    call = breaker(Breaker(failures=failures, cooldown=3), clock=clock)(peer)
    count, until = 0, -math.inf
    for step in steps:
        if step == "second":
            clock.now += 1
            continue
        before = peer.calls
        try:
            await call(OSError() if step == "fails" else None)
        except Unavailable:
            assert clock.now < until
            assert peer.calls == before
            continue
        except OSError:
            pass
        assert clock.now >= until
        assert peer.calls == before + 1
        count = count + 1 if step == "fails" else 0
        if count >= failures:
            until = clock.now + 3


@pytest.mark.parametrize("wrong", [{"failures": 0}, {"cooldown": 0.0}, {"cooldown": math.nan}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a Breaker allows 1 failure or more"):
        Breaker(**wrong)  # type: ignore[arg-type]


async def test_it_keeps_name_and_signature() -> None:
    @breaker(Breaker())
    async def rate(currency: str, *, on: int = 1) -> float:
        return len(currency) / on

    assert rate.__name__ == "rate"
    assert [*inspect.signature(rate).parameters] == ["currency", "on"]
    assert await rate("EUR") == 3


async def test_what_is_ignored_says_neither_good_nor_bad() -> None:
    clock, peer = Clock(), Peer()
    call = breaker(Breaker(failures=2, cooldown=5, ignore=(KeyError,)), clock=clock)(peer)
    await fail(call)
    with pytest.raises(KeyError):
        await call(KeyError())
    await fail(call)  # the second in a row: what lay between does not count
    with pytest.raises(Unavailable):
        await call(None)
    clock.now += 5
    with pytest.raises(KeyError):
        await call(KeyError())  # the probe has said nothing, so the next call is the probe
    assert await call(None) == "answer"
