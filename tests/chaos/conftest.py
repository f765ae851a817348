from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.servers import ValkeyServer, started_valkey


@pytest.fixture(scope="module")
def fragile_valkey() -> Generator[ValkeyServer]:
    yield from started_valkey()


@pytest.fixture
def valkey(fragile_valkey: ValkeyServer) -> Generator[ValkeyServer]:
    """A server of a module's own, empty, which its tests kill and freeze."""
    fragile_valkey.start()
    assert fragile_valkey.say("FLUSHALL") == b"+OK"
    yield fragile_valkey
    fragile_valkey.thaw()
