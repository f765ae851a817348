"""Whatever lies outside is told in the same words."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from heykit.database import connect
from heykit.resources import file_store, http_api, redis_client

WORDS = {
    "max_connections", "in_use", "idle", "utilization", "waiting", "acquired", "timed_out", "reconnects", "wait_seconds"
}  # fmt: skip


async def test_every_resource_tells_its_figures_in_the_same_words(
    tmp_path: Path, postgres_url: str, redis_url: str
) -> None:
    async with AsyncExitStack() as stack:
        resources = [
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
