"""Trying again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.resilience import Retry, pauses


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
