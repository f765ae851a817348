"""A bell that is heard in every process."""

from __future__ import annotations

import anyio
import pytest

from heykit.heygen import shared_bell
from heykit.resources import redis_client
from tests.servers import ValkeyServer


async def test_what_is_rung_in_one_process_is_heard_in_the_others(redis_url: str) -> None:
    async with (
        redis_client(redis_url) as here,
        redis_client(redis_url) as there,
        shared_bell(here) as bell,
        shared_bell(there) as other,
    ):
        await anyio.sleep(0.05)  # until both listen
        with bell.listening("a") as own, other.listening("a") as theirs, other.listening("b") as another:
            bell.ring("a")
            assert await own.wait(0)
            assert await theirs.wait(5)
            assert not await another.wait(0)


async def test_while_redis_is_away_it_rings_here_and_all_are_rung_when_it_is_back(
    valkey_server: ValkeyServer, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis_client(redis_url, connection_timeout=0.1) as redis, shared_bell(redis) as bell:
        await anyio.sleep(0.05)
        with bell.listening("a") as heard, bell.listening("b") as missed:
            valkey_server.kill()
            bell.ring("a")
            assert await heard.wait(0)
            with anyio.fail_after(5):
                while "other processes do not hear what changed" not in caplog.text:
                    await anyio.sleep(0.01)
            valkey_server.start()
            assert await missed.wait(5)


async def test_an_error_of_the_block_is_ones_own(redis_url: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with redis_client(redis_url) as redis, shared_bell(redis):
            raise ZeroDivisionError
