"""Whatever lies outside is told in the same words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from heykit.database import connect
from heykit.health import Health
from heykit.resources import file_store, http_api, redis_client

WORDS = {
    "max_connections", "in_use", "idle", "utilization", "waiting", "acquired", "timed_out", "reconnects", "wait_seconds"
}  # fmt: skip


class Resource(Protocol):
    """What every one of them can be asked."""

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int | float]: ...


async def test_every_resource_tells_its_figures_in_the_same_words(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        resources: list[Resource] = [
            await stack.enter_async_context(connect(postgres_url, max_connections=3)),
            await stack.enter_async_context(connect(f"sqlite:///{tmp_path}/a.db")),
            await stack.enter_async_context(redis_client(redis_url, max_connections=3)),
            await stack.enter_async_context(http_api("http://localhost", max_connections=3)),
            await stack.enter_async_context(file_store(tmp_path / "files")),
        ]
        for resource in resources:
            figures = resource.stats()
            assert figures.keys() >= WORDS, type(resource)
            assert figures["in_use"] == figures["waiting"] == figures["utilization"] == 0
            health = await resource.health()
            assert (health.status, health.kind) == ("pass", "resource")
            assert health.figures.keys() >= WORDS
