"""Wrong uses: each must be an error, and one that is none any more is an unused ignore. Read by mypy alone."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import heykit
from heykit import lifespan_with, opened, provided, scope
from heykit.cache import Cache, cached
from heykit.database import Database, Transaction
from heykit.resilience import Retry, retry
from heykit.resources import FileStore, HttpApi, Redis, http_api
from tests.typing.right_uses import database, number, numbers, outside, transaction


async def another_type(db: Cache[int] = provided(database)) -> None: ...  # type: ignore[arg-type]
async def another_item(cache: Cache[str] = provided(numbers)) -> None: ...  # type: ignore[arg-type]
async def optional_item(cache: Cache[int | None] = provided(numbers)) -> None: ...  # type: ignore[arg-type]
async def no_database(db: Database = provided(outside)) -> None: ...  # type: ignore[assignment]
async def narrower(begun: Transaction = provided(database)) -> None: ...  # type: ignore[assignment]
async def wider(db: Database = provided(transaction)) -> None: ...  # type: ignore[assignment]


@scope.application  # type: ignore[arg-type]
def neither() -> int:
    return 1


@scope.application(fallback=number)  # type: ignore[arg-type]
async def another_than_its_fallback() -> AsyncGenerator[str]:
    yield "text"


@scope.singleton(lazy=True, fallback=number)  # type: ignore[arg-type]
async def shared_otherwise() -> str:
    return "text"


@scope.keyed(idle=60)  # type: ignore[call-arg]
async def without_key() -> int:
    return 1


@scope.request(timeout=5)  # type: ignore[call-overload, untyped-decorator]
async def without_options() -> int:
    return 1


async def wrong(cache: Cache[int]) -> None:
    @cached(cache)  # type: ignore[arg-type]
    async def other_value(id: int) -> str:
        return str(id)

    @cached(cache)
    async def double(id: int) -> int:
        return id * 2

    await double("one")  # type: ignore[arg-type]
    await double.invalidate()  # type: ignore[call-arg]
    opened(double)  # type: ignore[arg-type]
    lifespan_with(double)  # type: ignore[arg-type]
    heykit.liefspan  # type: ignore[attr-defined]  # noqa: B018

    @retry(Retry(), idempotent=True)
    async def rate(currency: str) -> float:
        return 1.0

    await rate(1)  # type: ignore[arg-type]
    await rate("EUR", day=1)  # type: ignore[call-arg]
    rate("EUR")  # type: ignore[unused-coroutine]
    retry(Retry())(len)  # type: ignore[arg-type]


async def wrong_outside(api: HttpApi, redis: Redis, files: FileStore) -> None:
    await api.get("/", json={})  # type: ignore[call-overload]
    await api.get("/", query={"q": object()})  # type: ignore[dict-item]
    await api.post("/", jsn={})  # type: ignore[call-overload]
    await redis.execute("SET", "a", None)  # type: ignore[arg-type]
    await redis.execute("GET", "a").decode()  # type: ignore[attr-defined]
    await files.put("a", "text")  # type: ignore[arg-type]
    http_api("https://host", max_connection=1)  # type: ignore[call-arg]
