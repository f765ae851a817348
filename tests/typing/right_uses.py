"""Right uses: each has exactly the type that is asserted. Read by mypy alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import assert_type

from fastapi import FastAPI

from heykit import lifespan_with, opened, provided, request_scope, scope
from heykit.cache import Cache, Cached, cached, memory_cache
from heykit.config import Loaded, explain, load, mapping
from heykit.database import Database, Lost, Notification, Resumed, Row, Transaction, connect, postgres
from heykit.resilience import Breaker, Bulkhead, Retry, breaker, bulkhead, retry, with_fallback
from heykit.resources import (
    Download,
    FileInfo,
    FileStore,
    HttpApi,
    HttpResponse,
    Message,
    Redis,
    file_store,
    http_api,
    redis_client,
)
from heykit.scope import Provider


class Video:
    id: int


@scope.application
async def number() -> int:
    return 1


@scope.application(timeout=5)
async def database() -> AsyncGenerator[Database]:
    async with connect("sqlite:///:memory:") as db:
        yield db


@scope.request
async def iterated() -> AsyncIterator[str]:
    yield "text"


@scope.function
def transaction(db: Database = provided(database)) -> AbstractAsyncContextManager[Transaction]:
    return db.transaction()


@scope.application
def numbers() -> AbstractAsyncContextManager[Cache[int]]:
    return memory_cache()


@scope.singleton(lazy=True, retry=Retry(attempts=2))
async def shared() -> AsyncGenerator[bytes]:
    yield b""


@scope.keyed(by=number, idle=60, limit=10)
async def per_number(of: int = provided(number)) -> float:
    return float(of)


@scope.session(by=number)
def session_numbers() -> AbstractAsyncContextManager[Cache[int]]:
    return memory_cache()


@scope.application(fallback=number)
async def replaceable() -> int:
    return 2


class Plain:
    """A class is a dependency of FastAPI's own kind."""


async def coroutine() -> bytes:
    return b""


assert_type(number, Provider[int])
assert_type(database, Provider[Database])
assert_type(iterated, Provider[str])
assert_type(transaction, Provider[Transaction])
assert_type(numbers, Provider[Cache[int]])
assert_type(replaceable, Provider[int])
assert_type(shared, Provider[bytes])
assert_type(per_number, Provider[float])
assert_type(session_numbers, Provider[Cache[int]])
assert_type(provided(number), int)
assert_type(provided(database), Database)
assert_type(provided(Plain), Plain)
assert_type(provided(coroutine), bytes)


async def uses(db: Database, cache: Cache[int | None]) -> None:
    assert_type(await db.fetch("SELECT 1"), list[Row])
    assert_type(await db.fetch("SELECT 1", into=Video), list[Video])
    assert_type(await db.fetch_one("SELECT 1", into=Video), Video | None)
    assert_type(await cache.get("key", "absent"), int | str | None)

    @cached(cache, ttl=60)
    async def find(id: int) -> int | None:
        return id

    by_id: Cached[[int], int | None] = find
    assert_type(await by_id(1), int | None)
    assert_type(await find(1), int | None)
    await find.invalidate(id=1)
    async with opened(transaction) as begun:
        assert_type(begun, Transaction)
    assert_type(load(Video, [mapping({})]), Video)
    assert_type(explain(Video, [mapping({})]), Loaded[Video])
    lifespan_with(number, database)


async def works(app: FastAPI) -> None:
    async with request_scope(app) as get:
        assert_type(await get(number), int)
        assert_type(await get(transaction), Transaction)


class Rates:
    @retry(Retry(attempts=2), idempotent=True)
    @breaker(Breaker())
    @bulkhead(Bulkhead(at_once=2))
    async def rate(self, currency: str, *, day: int = 0) -> float:
        return 1.0


async def last_known(currency: str, *, day: int = 0) -> float:
    return 0.9


async def resilient(rates: Rates) -> None:
    assert_type(await rates.rate("EUR", day=1), float)
    assert_type(await with_fallback(rates.rate, last_known, on=(OSError,))("EUR"), float)
    asyncio.create_task(rates.rate("EUR")).cancel()


@scope.application
def outside() -> AbstractAsyncContextManager[HttpApi]:
    return http_api("https://rates.example/v2", headers={"Authorization": "Bearer ..."}, timeout=5)


@scope.application
def remembered() -> AbstractAsyncContextManager[Redis]:
    return redis_client("redis://localhost:6379/0")


async def outside_things(api: HttpApi = provided(outside), redis: Redis = provided(remembered)) -> None:
    assert_type(await api.get(("videos", "7"), query={"draft": True, "tag": ["a", "b"]}), HttpResponse)
    assert_type(await api.get("/videos", into=list[Video]), list[Video])
    assert_type(await api.post("/videos", json={"title": "x"}, idempotency_key="7", into=Video), Video)
    assert_type(await api.request("PUT", "/videos/7", content=b"x"), HttpResponse)
    async with api.download("/videos/7", max_bytes=1) as download:
        assert_type(download, Download)
        assert_type(await anext(aiter(download.chunks)), bytes)
    assert_type(await redis.execute("GET", b"a", idempotent=True), object)
    assert_type(await redis.execute_many([("INCRBY", "a", 1), ["GET", "a"]], atomic=True), list[object])
    async with redis.subscribe("news") as feed:
        assert_type(await anext(feed), Message | Lost | Resumed)
    async with postgres("postgresql:///db") as database, database.listen("orders") as notifications:
        assert_type(await anext(notifications), Notification | Lost | Resumed)
    async with file_store("data") as files:
        assert_type(files, FileStore)
        assert_type([file async for file in files.list("videos/")], list[FileInfo])
