"""What lies outside the process: Redis, and files.

    async with redis_client("redis://localhost:6379/0") as redis:
        await redis.execute("SET", "greeting", "hello", "EX", 60)
        await redis.execute("GET", "greeting", idempotent=True)  # b"hello"; repeated where the reply is lost
        await redis.execute_many([("INCR", "a"), ("INCR", "b")], atomic=True)  # [1, 1]
        async with redis.subscribe("news") as feed:
            async for event in feed: ...  # Message, and Lost and Resumed where something may have been missed

    async with file_store("./data", max_bytes=64 * 1024 * 1024) as files:
        await files.put("videos/7.svg", content)  # bytes, or an async iterable of bytes
        async with files.open("videos/7.svg") as chunks:
            async for chunk in chunks: ...
        await files.info("videos/7.svg")  # name, size, when written; None where there is none
        await files.delete("videos/7.svg")

A name is a relative path with `/`. None can leave the root: `..`, absolute names, backslashes, control characters and
parts that begin with a dot are `NameRefused`, and symbolic links under the root are not followed.
"""

from __future__ import annotations

from heykit._feeds import Invalidated, Lost, Resumed
from heykit.resources._factories import http_api, redis_client
from heykit.resources.directories import made_directory
from heykit.resources.files import file_store
from heykit.resources.protocol import (
    Argument,
    Command,
    Download,
    FileInfo,
    FileStore,
    HttpApi,
    HttpResponse,
    Message,
    Path,
    Query,
    Reading,
    Redis,
    Sending,
)

__all__ = [
    "Argument",
    "Command",
    "Download",
    "FileInfo",
    "FileStore",
    "HttpApi",
    "HttpResponse",
    "Invalidated",
    "Lost",
    "Message",
    "Path",
    "Query",
    "Reading",
    "Redis",
    "Resumed",
    "Sending",
    "file_store",
    "http_api",
    "made_directory",
    "redis_client",
]
