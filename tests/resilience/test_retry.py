"""Trying again."""

from __future__ import annotations

import inspect
import math
from collections.abc import Awaitable, Callable

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import TimedOut, Unavailable
from heykit.resilience import Budget, Retry, pauses, retry
from tests.resilience.clocks import Clock


@given(st.integers(1, 20), st.floats(0, 10))
def test_there_is_a_pause_between_any_two_attempts_within_its_bound(attempts: int, wait: float) -> None:
    found = list(pauses(Retry(attempts, wait=wait)))
    assert len(found) == attempts - 1
    assert all(0 <= pause <= wait * 2**n for n, pause in enumerate(found))


def test_the_bound_doubles() -> None:
    assert list(pauses(Retry(4, wait=0.1), uniform=lambda _, most: most)) == [0.1, 0.2, 0.4]


def test_what_is_worth_another_attempt_is_any_error_or_those_named() -> None:
    assert Retry().is_worth(ValueError())
    assert Retry(on=(OSError,)).is_worth(ConnectionError())
    assert not Retry(on=(OSError,)).is_worth(ValueError())


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"deadline": 0.0}, {"wait": -1.0}, {"deadline": float("nan")}])
def test_a_policy_that_never_tries_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a Retry has 1 attempt or more"):
        Retry(**wrong)  # type: ignore[arg-type]


AGAIN = Unavailable("away", had_no_effect=True)


def most(_: float, bound: float) -> float:
    return bound


class Flaky:
    """Fails with each of these in turn, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = [*errors]
        self.calls = 0

    async def __call__(self, value: int, *, factor: int = 1) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return value * factor


async def test_what_answers_is_called_once() -> None:
    flaky = Flaky()
    assert await retry(Retry())(flaky)(3, factor=2) == 6
    assert flaky.calls == 1


async def test_it_is_called_again_after_each_failure_with_pauses_that_double() -> None:
    clock, flaky = Clock(), Flaky(AGAIN, AGAIN)
    again = retry(Retry(attempts=3, wait=0.5), clock=clock, sleep=clock.sleep, uniform=most)
    assert await again(flaky)(3) == 3
    assert flaky.calls == 3
    assert clock.slept == [0.5, 1.0]


async def test_after_an_error_it_waits_at_least_as_long_as_it_was_told() -> None:
    clock, flaky = Clock(), Flaky(AGAIN, AGAIN)
    policy = Retry(attempts=3, wait=0.5, deadline=100)
    again = retry(policy, clock=clock, sleep=clock.sleep, uniform=most, least_pause=lambda _: 7)
    assert await again(flaky)(3) == 3
    assert clock.slept == [7.5, 8.0]  # and the jitter besides, so that not all come at once


async def test_what_is_told_to_wait_beyond_the_deadline_is_raised_at_once() -> None:
    clock, flaky = Clock(), Flaky(AGAIN)
    again = retry(Retry(deadline=5), clock=clock, sleep=clock.sleep, uniform=most, least_pause=lambda _: 6)
    with pytest.raises(Unavailable):
        await again(flaky)(3)
    assert clock.slept == []


async def test_the_last_error_is_raised_as_it_is_and_each_attempt_is_logged_with_its_number(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, last = Clock(), OSError("password=hunter2")

    async def fetch() -> None:
        raise errors.pop(0)

    errors: list[Exception] = [AGAIN, KeyError("x"), last]
    with pytest.raises(OSError, match="hunter2") as caught:
        await retry(Retry(3), idempotent=True, clock=clock, sleep=clock.sleep, uniform=most)(fetch)()
    assert caught.value is last
    assert caught.value.__context__ is None
    name = fetch.__qualname__
    assert caplog.messages == [
        f"attempt 1 of 3 of {name} failed (Unavailable: away): again in 0.10 s",
        f"attempt 2 of 3 of {name} failed (KeyError): again in 0.20 s",
        f"attempt 3 of 3 of {name} failed (OSError): it was the last",
    ]


@pytest.mark.parametrize("error", [OSError("lost"), Unavailable("lost"), TimedOut("late")])
async def test_what_may_have_had_an_effect_is_not_repeated_unless_the_caller_says_that_it_may_be(
    error: Exception,
) -> None:
    clock = Clock()
    for idempotent, calls in ((False, 1), (True, 2)):
        flaky = Flaky(error)
        again = retry(Retry(2), idempotent=idempotent, clock=clock, sleep=clock.sleep)(flaky)
        if idempotent:
            assert await again(1) == 1
        else:
            with pytest.raises(type(error)):
                await again(1)
        assert flaky.calls == calls


async def test_what_is_not_worth_another_attempt_is_raised_at_once_and_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flaky = Flaky(ValueError("yours"))
    with pytest.raises(ValueError, match="yours"):
        await retry(Retry(on=(OSError,)), idempotent=True)(flaky)(1)
    assert flaky.calls == 1
    assert caplog.messages == []


async def test_a_later_attempt_may_fail_with_what_is_not_worth_another() -> None:
    clock, flaky = Clock(), Flaky(OSError(), ValueError("yours"))
    with pytest.raises(ValueError, match="yours"):
        await retry(Retry(on=(OSError,)), idempotent=True, clock=clock, sleep=clock.sleep)(flaky)(1)
    assert flaky.calls == 2


async def test_no_attempt_begins_after_the_deadline() -> None:
    clock, flaky = Clock(), Flaky(*[AGAIN] * 9)
    again = retry(Retry(attempts=9, deadline=3, wait=1), clock=clock, sleep=clock.sleep, uniform=most)
    with pytest.raises(Unavailable):
        await again(flaky)(1)
    assert clock.slept == [1]  # the next pause would end at the deadline
    assert flaky.calls == 2


async def test_a_pause_that_took_longer_than_meant_is_followed_by_nothing_after_the_deadline() -> None:
    clock, flaky = Clock(), Flaky(AGAIN, AGAIN)

    async def oversleep(_: float) -> None:
        clock.now += 5

    with pytest.raises(Unavailable):
        await retry(Retry(deadline=3), clock=clock, sleep=oversleep)(flaky)(1)
    assert flaky.calls == 1


async def test_an_attempt_that_follows_another_is_ended_at_the_deadline() -> None:
    calls = 0

    async def hangs() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise AGAIN
        await anyio.sleep_forever()

    with anyio.fail_after(5), pytest.raises(TimedOut, match="hangs did not answer within the deadline of its Retry"):
        await retry(Retry(deadline=0.02, wait=0))(hangs)()
    assert calls == 2


async def test_a_cancellation_is_no_failure_and_ends_a_pause() -> None:
    flaky = Flaky(AGAIN)
    with anyio.move_on_after(0.01) as limit:
        await retry(Retry(wait=60, deadline=600), uniform=most)(flaky)(1)
    assert limit.cancelled_caught
    assert flaky.calls == 1


@given(st.floats(0, 1), st.integers(0, 2), st.lists(st.sampled_from([0.0, 0.0, 0.3, 7.0, 30.0]), max_size=200))
async def test_attempts_never_come_to_more_than_their_share_of_the_calls(
    share: float, per_second: int, gaps: list[float]
) -> None:
    """All calls fail."""
    clock = Clock()
    began, first, further = clock.now, 0, 0

    async def fails(made: list[int]) -> None:
        nonlocal first, further
        further += bool(made)
        first += not made
        made.append(1)
        raise AGAIN

    async def at_once(_: float) -> None: ...

    budget = Budget(share=share, per_second=per_second, window=10)
    again = retry(Retry(attempts=4, wait=0), budget=budget, clock=clock, sleep=at_once)(fails)
    for gap in gaps:
        clock.now += gap
        with pytest.raises(Unavailable):
            await again([])
        assert further <= share * first + per_second * (10 + clock.now - began) + 1e-6


async def made_again(again: Callable[[int], Awaitable[int]], flaky: Flaky) -> int:
    """Make 200 calls whose first attempts fail; count those that had another."""
    made = 0
    for _ in range(200):
        flaky.errors = [AGAIN]
        try:
            made += await again(1)
        except Unavailable:
            flaky.errors = []
    return made


async def test_after_many_calls_that_went_well_many_may_be_made_again() -> None:
    clock, flaky = Clock(), Flaky()
    again = retry(Retry(2, wait=0), budget=Budget(share=0.1, per_second=0), clock=clock, sleep=clock.sleep)(flaky)
    for _ in range(1000):
        await again(1)
    made = await made_again(again, flaky)
    assert made == 120  # a tenth of those before, and of those since


async def test_calls_of_long_ago_buy_nothing() -> None:
    clock, flaky = Clock(), Flaky()
    budget = Budget(share=0.2, per_second=0, window=10)
    again = retry(Retry(2, wait=0), budget=budget, clock=clock, sleep=clock.sleep)(flaky)
    for _ in range(2000):
        await again(1)
    clock.now += 19.9
    made = await made_again(again, flaky)
    assert made <= 0.2 * 200 + 0.2 * 2000 * 0.02


async def test_who_calls_seldom_may_always_try_again() -> None:
    clock, flaky = Clock(), Flaky()
    budget = Budget(share=0, per_second=1, window=1)
    again = retry(Retry(2, wait=0), budget=budget, clock=clock, sleep=clock.sleep)(flaky)
    for _ in range(20):
        flaky.errors = [AGAIN]
        assert await again(1) == 1
        clock.now += 2


async def test_the_functions_of_one_decorator_share_its_budget(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    again = retry(Retry(2), budget=Budget(share=0, per_second=0.1), clock=clock, sleep=clock.sleep)
    assert await again(Flaky(AGAIN))(1) == 1
    with pytest.raises(Unavailable):
        await again(Flaky(AGAIN))(1)
    assert caplog.messages[-1].endswith("the budget for further attempts is spent")


@pytest.mark.parametrize(
    "wrong", [{"share": -1.0}, {"share": math.nan}, {"per_second": -1.0}, {"window": 0.0}, {"window": math.inf}]
)
def test_a_budget_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="a Budget has a share"):
        Budget(**wrong)


async def test_it_keeps_name_and_signature_and_works_on_methods() -> None:
    class Api:
        @retry(Retry(), idempotent=True)
        async def get(self, path: str) -> str:
            """Get it."""
            return path

    assert (Api.get.__name__, Api.get.__doc__) == ("get", "Get it.")
    assert [*inspect.signature(Api.get).parameters] == ["self", "path"]
    assert inspect.iscoroutinefunction(Api.get)
    assert await Api().get("/") == "/"
