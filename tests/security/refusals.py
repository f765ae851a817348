"""How a test says that something is refused, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from heykit.errors import KeyRefused, TokenError


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(TokenError) as caught:
        yield
    assert code == caught.value.code
    assert caught.value.status == 401


def refused_key() -> pytest.RaisesExc[KeyRefused]:
    return pytest.raises(KeyRefused)


def code_of(call: Callable[[], object]) -> str:
    """The code with which a call refuses, or "" if it does not; any other exception goes through."""
    try:
        call()
    except TokenError as error:
        return error.code
    return ""
