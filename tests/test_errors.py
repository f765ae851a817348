"""The family of errors: what they are when they come from another process."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from heykit import errors
from heykit.errors import ConfigError, ConfigFault, Fault, HeykitError, ShutdownError, Throttled, WiringError

COPIES: list[Callable[[HeykitError], HeykitError]] = [lambda error: pickle.loads(pickle.dumps(error)), copy.copy]
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HeykitError)]
FAULTS = [ConfigFault("a.b", "int", "APP_A__B", "'x'"), ConfigFault("c", "str", "APP_C", "nothing")]
MADE: dict[type[HeykitError], HeykitError] = {
    ConfigError: ConfigError(FAULTS),
    WiringError: WiringError([Fault("wiring.cycle", "a needs itself", "app.py", 3)]),
    ShutdownError: ShutdownError("two could not be closed", [OSError(5, "away"), ValueError("x")]),
    Throttled: Throttled("too many attempts", retry_after=7.5, by="address"),
    errors.TokenError: errors.TokenError("it has ended", code="token.expired"),
    errors.HttpError: errors.HttpError("refused", answered=404, headers={"a": "b"}, body=b"no"),
    errors.HttpUnavailable: errors.HttpUnavailable("away", answered=503, asked_to_wait=3.0, had_no_effect=True),
    errors.Unavailable: errors.Unavailable("away", retry_after=2.0, had_no_effect=True),
}


def held(error: HeykitError) -> tuple[object, ...]:
    return type(error), str(error), error.args, error.code, error.status, sorted(map(repr, vars(error).items()))


@pytest.mark.parametrize("again", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_error_comes_out_of_a_pickle_as_it_went_in(
    kind: type[HeykitError], again: Callable[[HeykitError], HeykitError]
) -> None:
    error = MADE.get(kind) or kind("a message")

    assert held(again(error)) == held(error)


class Linked(HeykitError):
    """An error of a user, which refers to another that refers back."""

    def __init__(self, message: str, *, inner: HeykitError | None = None) -> None:
        self.inner = inner
        super().__init__(message)

    def __setstate__(self, state: dict[str, object] | None) -> None:
        super().__setstate__(state)
        self.came_again = True


@pytest.mark.parametrize("again", [*COPIES[:1], copy.deepcopy])
def test_errors_that_refer_to_each_other_still_do(again: Callable[[HeykitError], HeykitError]) -> None:
    inner = Linked("inner")
    outer = Linked("outer", inner=inner)
    inner.inner = outer

    other = again(outer)

    assert isinstance(other, Linked)
    assert isinstance(other.inner, Linked)
    assert other.inner.inner is other
    assert other.came_again
