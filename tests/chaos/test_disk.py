"""A disk that fills up, and an application that is killed: what was acknowledged is there."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import anyio
import pytest

from heykit.database import sqlite
from heykit.errors import HeykitError, Unavailable
from heykit.resources import file_store, http_api
from tests.chaos.load import CANCELLED
from tests.served import served

ROOT = Path(__file__).parent.parent.parent
ROOM = 4 * 1024 * 1024  # bytes in any one file, as a disk that is nearly full would give

WRITER = """
import asyncio, resource, sys
from heykit.database import sqlite
from heykit.errors import Unavailable

async def main():
    async with sqlite(sys.argv[1]) as database:
        await database.execute("CREATE TABLE written (number INTEGER PRIMARY KEY, text TEXT)")
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))

        async def write(start):
            for number in range(start, start + 40_000, 50):
                try:
                    await database.execute("INSERT INTO written VALUES ($1, $2)", number, "x" * 1000)
                except Unavailable as error:
                    print("full", error, flush=True)
                    return
                print(number, flush=True)

        await asyncio.gather(*map(write, range(50)))
        print("read", await database.fetch_value("SELECT count(*) FROM written"), flush=True)

asyncio.run(main())
"""


def test_a_full_disk_loses_no_row_that_was_committed(tmp_path: Path) -> None:
    """50 tasks whose writes share commits, until there is no room for more: each hears it, and reading goes on."""
    path = tmp_path / "written.db"
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(path), str(ROOM)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    told = [line for line in lines if line.startswith("full")]
    acknowledged = {int(line) for line in lines if line.isdecimal()}
    assert len(told) == 50
    assert all("the disk refuses what SQLite writes" in line for line in told)
    assert len(acknowledged) > 1000
    assert lines[-1] == f"read {len(acknowledged)}"

    async def stored() -> tuple[set[object], object]:
        async with sqlite(path) as database:
            rows = {row["number"] for row in await database.fetch("SELECT number FROM written")}
            return rows, await database.fetch_value("PRAGMA integrity_check")

    assert anyio.run(stored) == (acknowledged, "ok")


async def test_a_full_disk_keeps_no_half_of_a_file(tmp_path: Path) -> None:
    chance = random.Random(7)
    kept: dict[str, int] = {}
    refused = 0

    async def content(size: int) -> AsyncGenerator[bytes]:
        for _ in range(size):
            yield b"x" * 65_536

    async with file_store(tmp_path) as files:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
        try:

            async def put(number: int) -> None:
                nonlocal refused
                size = chance.randrange(2, 2 * ROOM // 65_536)
                name = f"{number % 20}"
                try:
                    await files.put(f"{number}/{name}", content(size))
                except HeykitError as error:
                    assert "no room for the file" in str(error)  # noqa: PT017 - both outcomes are right
                    refused += 1
                else:
                    kept[f"{number}/{name}"] = size * 65_536

            async with anyio.create_task_group() as tasks:
                for number in range(50):
                    tasks.start_soon(put, number)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert refused > 5
        assert {file.name: file.size async for file in files.list()} == kept
        assert os.listdir(tmp_path / ".partial") == []  # noqa: PTH208


@pytest.fixture
def settings() -> Mapping[str, str]:
    return {"HEYGEN_VIDEO__SECONDS_PER_CAPTION": "20"}


def test_killing_the_application_loses_no_write_that_was_acknowledged(
    tmp_path: Path, settings: Mapping[str, str]
) -> None:
    acknowledged: set[str] = set()

    async def write(url: str, token: str, kill: anyio.Event) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with http_api(url, headers=headers, max_connections=50, connection_timeout=60, retry_attempts=0) as api:

            async def order() -> None:
                body = {"title": "Hello", "script": "Hello."}
                while True:
                    try:
                        video = await api.post("/api/v1/videos", json=body, into=dict[str, object])
                    except Unavailable:
                        return
                    acknowledged.add(str(video["id"]))
                    if len(acknowledged) >= CANCELLED * 0.9:
                        kill.set()

            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(order)
                await kill.wait()
                api_process.send_signal(signal.SIGKILL)

    async def stored() -> set[str]:
        async with sqlite(tmp_path / "data" / "heygen.db") as database:
            return {str(row["id"]) for row in await database.fetch("SELECT id FROM videos")}

    with served(tmp_path, settings) as api:
        api_process = api.process
        who = {"name": "ada", "password": "correct horse battery"}
        assert api.client.post("/api/v1/register", json=who).status_code == 201
        form = {"username": who["name"], "password": who["password"]}
        token = str(api.client.post("/api/v1/auth/token", data=form).json()["access_token"])
        anyio.run(lambda: write(api.url, token, anyio.Event()))
    assert len(acknowledged) >= CANCELLED * 0.9
    assert acknowledged <= anyio.run(stored)
