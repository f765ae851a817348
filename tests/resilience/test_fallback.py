"""Something worse instead of nothing."""

from __future__ import annotations

import anyio
import pytest

from heykit.errors import Unavailable
from heykit.resilience import with_fallback

UP = True


async def rate(currency: str) -> str:
    if not UP:
        raise Unavailable("the bank is away")
    return f"{currency} today"


async def yesterdays(currency: str) -> str:
    return f"{currency} yesterday"


async def test_where_the_first_fails_the_second_answers_and_that_is_said_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    either = with_fallback(rate, yesterdays, on=(Unavailable,))
    assert await either("EUR") == "EUR today"
    monkeypatch.setitem(globals(), "UP", False)
    assert [await either("EUR") for _ in range(3)] == ["EUR yesterday"] * 3
    monkeypatch.setitem(globals(), "UP", True)
    assert [await either("EUR") for _ in range(2)] == ["EUR today"] * 2
    assert caplog.messages == [
        "rate fails (Unavailable: the bank is away); yesterdays answers instead",
        "rate answers again",
    ]


async def test_another_error_is_raised() -> None:
    async def broken(_: str) -> str:
        raise KeyError("mistake")

    with pytest.raises(KeyError, match="mistake"):
        await with_fallback(broken, yesterdays, on=(Unavailable,))("EUR")


async def test_where_both_fail_the_error_of_the_second_shows_that_of_the_first() -> None:
    async def away(_: str) -> str:
        raise Unavailable("away")

    async def worse(_: str) -> str:
        raise KeyError("nothing known")

    with pytest.raises(KeyError) as caught:
        await with_fallback(away, worse, on=(Unavailable,))("EUR")
    assert isinstance(caught.value.__context__, Unavailable)


async def test_a_cancellation_asks_nobody_else() -> None:
    async def slow(_: str) -> str:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.move_on_after(0.01) as limit:
        await with_fallback(slow, yesterdays, on=(Exception,))("EUR")
    assert limit.cancelled_caught


def test_it_keeps_the_name_of_the_first() -> None:
    assert with_fallback(rate, yesterdays, on=(Unavailable,)).__name__ == "rate"
