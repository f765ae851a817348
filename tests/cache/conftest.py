from __future__ import annotations

import pytest

from heykit.resources import Redis
from tests.cache.gate import Gate


@pytest.fixture
def gate(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> Gate:
    """A gate, with a cache behind it that looks for what is away all the time, and trusts it soon."""
    monkeypatch.setattr("heykit.cache._reach._LOOK_EVERY", 0.002)
    monkeypatch.setattr("heykit.cache._reach._TRUST_AFTER", 0.05)
    return Gate(redis)
