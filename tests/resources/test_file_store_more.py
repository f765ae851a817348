"""Ranges, listings, checksums and ages of stored files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit.errors import ChecksumMismatch, FileMissing, FileTooLarge, NotOpen
from heykit.resources import FileStore, file_store
from heykit.resources.disk import delete


async def content(store: FileStore, name: str, start: int = 0, end: int | None = None) -> bytes:
    async with store.open(name, start=start, end=end) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def names(store: FileStore, prefix: str = "", after: str = "") -> list[str]:
    return [file.name async for file in store.list(prefix, after=after)]


# ------------------------------------------------------------------------------------------------------------- ranges


@given(st.binary(max_size=30), st.integers(0, 40), st.none() | st.integers(0, 40))
@settings(max_examples=60, deadline=None)
async def test_a_range_is_a_slice(whole: bytes, start: int, length: int | None) -> None:
    end = None if length is None else start + length
    with TemporaryDirectory() as root:
        async with file_store(root) as store:
            await store.put("a", whole)
            assert await content(store, "a", start, end) == whole[start:end]


async def test_a_range_of_many_chunks(tmp_path: Path) -> None:
    whole = os.urandom(3_000_000)
    async with file_store(tmp_path) as store:
        await store.put("a", whole)
        assert await content(store, "a", 65_000, 2_900_001) == whole[65_000:2_900_001]
        assert store.stats()["bytes_read"] == 2_835_001


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 4)])
async def test_a_range_that_is_none_is_refused(tmp_path: Path, start: int, end: int | None) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"123456")
        with pytest.raises(ValueError, match="a range begins at 0"):
            await content(store, "a", start, end)


# ---------------------------------------------------------------------------------------------------------- checksums


async def test_what_came_as_it_was_announced_is_kept(tmp_path: Path) -> None:
    announced = hashlib.sha256(b"hello").hexdigest()
    async with file_store(tmp_path) as store:
        await store.put("a", b"hello", sha256=announced.upper())
        assert await store.checksum("a") == announced


async def test_what_is_not_what_was_announced_is_not_kept(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"old")
        with pytest.raises(ChecksumMismatch, match="what came for 'a' is not what was announced") as refusal:
            await store.put("a", b"hello", sha256=hashlib.sha256(b"hallo").hexdigest())
        assert refusal.value.status == 400
        assert await content(store, "a") == b"old"
        assert [*(tmp_path / ".partial").iterdir()] == []


async def test_a_checksum_of_what_is_missing(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        with pytest.raises(FileMissing):
            await store.checksum("a")


# ----------------------------------------------------------------------------------------------------------- listings

part = st.text(st.sampled_from("ab-.0/é"), min_size=1, max_size=3)


@given(
    st.sets(st.sampled_from(["a", "a-b", "a.b", "a/b", "a/b/c", "ab", "a0", "b/é", "b/e", "b/z/y", "c/a", "é"])),
    part,
    part,
)
@settings(max_examples=60, deadline=None)
async def test_a_listing_is_sorted_and_cut_as_the_names_would_be(stored: set[str], prefix: str, after: str) -> None:
    with TemporaryDirectory() as root:
        async with file_store(root) as store:
            kept = [name for name in stored if not any(other.startswith(name + "/") for other in stored)]
            for name in kept:
                await store.put(name, b"1")
            ordered = sorted(kept, key=str.encode)
            assert await names(store) == ordered
            assert await names(store, prefix) == [name for name in ordered if name.startswith(prefix)]
            assert await names(store, after=after) == [name for name in ordered if name.encode() > after.encode()]


async def test_a_listing_says_what_info_says_and_leaves_out_what_is_no_file_of_the_store(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a/b", b"123")
        (tmp_path / "a/.hidden").write_bytes(b"1")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        os.mkfifo(tmp_path / "pipe")
        os.close(os.open(os.fsencode(tmp_path) + b"/\xff", os.O_CREAT | os.O_WRONLY))
        assert [file async for file in store.list()] == [await store.info("a/b")]


async def test_a_long_listing_can_be_left_and_gone_on_with(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        for number in range(600):
            (tmp_path / f"{number:03}").write_bytes(b"")
        first: list[str] = []
        async for file in store.list():
            first.append(file.name)
            if len(first) == 300:
                break
        assert first + await names(store, after=first[-1]) == [f"{number:03}" for number in range(600)]


# --------------------------------------------------------------------------------------------------------------- ages


async def test_a_file_is_gone_when_its_time_is_over(tmp_path: Path) -> None:
    time = [1000.0]
    async with file_store(tmp_path, max_age=60, now=lambda: time[0]) as store:
        await store.put("a", b"1")
        os.utime(tmp_path / "a", (1000, 1000))
        time[0] = 1060
        assert await content(store, "a") == b"1"
        time[0] = 1060.001
        assert await store.info("a") is None
        assert await names(store) == []
        for use in (content(store, "a"), store.checksum("a")):
            with pytest.raises(FileMissing):
                await use
        assert await store.delete("a") is False
        assert not (tmp_path / "a").exists()


async def test_what_is_too_old_is_deleted_now_and_then(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old/file").write_bytes(b"1")
    os.utime(tmp_path / "old/file", (1000, 1000))
    async with file_store(tmp_path, max_age=60) as store:
        await store.put("new", b"1")
        with anyio.fail_after(5):
            while (tmp_path / "old").exists():
                await anyio.sleep(0.01)
        assert await names(store) == ["new"]


async def test_an_error_in_the_block_of_a_store_that_sweeps_is_ones_own(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with file_store(tmp_path, max_age=60):
            raise ZeroDivisionError
    with pytest.raises(ExceptionGroup, match="mine"):
        async with file_store(tmp_path, max_age=60):
            raise ExceptionGroup("mine", [ZeroDivisionError()])
    with anyio.move_on_after(0.05) as scope:
        async with file_store(tmp_path, max_age=60):
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_sweep_takes_what_is_older_and_tells_how_many(tmp_path: Path) -> None:
    async with file_store(tmp_path, now=lambda: 1000) as store:
        for name, written in (("logs/a", 900), ("logs/b", 899), ("logs/c/d", 1), ("videos/a", 1)):
            await store.put(name, b"1")
            os.utime(tmp_path / name, (written, written))
        assert await store.sweep(older_than=100, prefix="logs/") == 2
        assert await names(store) == ["logs/a", "videos/a"]
        assert await store.sweep(older_than=0) == 2
        assert os.listdir(tmp_path) == [".partial"]  # noqa: PTH208


def test_what_is_written_again_meanwhile_is_not_swept(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"new")
    os.utime(tmp_path / "a", (1000, 1000))
    assert delete(tmp_path, ("a",), newest=999) is False
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("age", [0, -1, float("nan")])
async def test_an_age_that_makes_no_sense(tmp_path: Path, age: float) -> None:
    with pytest.raises(ValueError, match="max_age must be above 0"):
        file_store(tmp_path, max_age=age)
    async with file_store(tmp_path) as store:
        if age:
            with pytest.raises(ValueError, match="older_than must be 0"):
                await store.sweep(older_than=age)


async def test_a_closed_store_lists_and_sweeps_nothing(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"1")
    for use in (names(store), store.sweep(older_than=0), store.checksum("a")):
        with pytest.raises(NotOpen):
            await use


# ----------------------------------------------------------------------------------------------------- awkward moments


def open_files() -> int:
    return len(os.listdir("/dev/fd"))  # noqa: PTH208


@pytest.mark.parametrize("times", [1, 2])
async def test_a_task_cancelled_at_any_moment_leaves_no_file_open_and_no_partial_behind(
    tmp_path: Path, times: int
) -> None:
    """As `wait_for` cancels, and once more in the clean-up."""

    async def use(store: FileStore) -> None:
        with contextlib.suppress(FileTooLarge):
            await store.put("a", b"x" * 2000)
        await store.put("b", b"x")
        assert await content(store, "b") == b"x"
        await store.checksum("b")

    async with file_store(tmp_path, max_bytes=1000) as store:
        await use(store)
        before = open_files()
        for turns in range(60):
            task = asyncio.create_task(use(store))
            for _ in range(times):
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
        for _ in range(100):
            if open_files() == before:
                break
            await anyio.sleep(0.01)
        assert open_files() == before
        assert os.listdir(tmp_path / ".partial") == []  # noqa: PTH208


async def test_what_goes_away_meanwhile_keeps_nothing_else_out_of_a_listing(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        for number in range(50):
            await store.put(f"kept-{number:02}", b"1")

        async def busy(name: str) -> None:
            for _ in range(60):
                await store.put(name, b"1")
                await store.delete(name)

        async with anyio.create_task_group() as tasks:
            for number in range(3):
                tasks.start_soon(busy, f"a-{number}")
            for _ in range(60):
                listed = await names(store, "kept")
                assert len(listed) == 50


async def test_every_name_that_can_be_stored_is_listed_and_swept(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("videos/a:b", b"1")
        await store.put("videos/c:/d", b"1")
        assert await names(store) == ["videos/a:b", "videos/c:/d"]
        await anyio.sleep(0.01)
        assert await store.sweep(older_than=0) == 2


async def test_one_bad_place_in_the_tree_does_not_stop_a_sweep(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with file_store(tmp_path) as store:
        await store.put("locked/a", b"1")
        await store.put("z", b"1")
        deep = tmp_path
        for _ in range(700):
            deep = deep / "d"
        os.makedirs(deep)  # noqa: PTH103
        (deep / "e").write_bytes(b"1")
        scandir = os.scandir
        locked = (tmp_path / "locked").stat().st_ino

        def refused(folder: int) -> object:
            if os.fstat(folder).st_ino == locked:
                raise PermissionError(13, "Permission denied")
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", refused)
        await anyio.sleep(0.01)
        assert await store.sweep(older_than=0) == 1
        assert "cannot be read, so nothing in it is deleted (Permission denied)" in caplog.text
        monkeypatch.undo()
        assert await names(store) == ["locked/a"]


async def test_a_file_is_as_old_as_its_arrival_not_as_its_last_bytes(tmp_path: Path) -> None:
    async def slow() -> AsyncGenerator[bytes]:
        yield b"x" * 600_000
        await anyio.sleep(0.3)

    async with file_store(tmp_path) as store:
        await store.put("a", slow())
        assert await store.sweep(older_than=0.25) == 0
        assert await store.info("a") is not None


async def test_a_store_that_sweeps_may_be_left_by_another_task_and_keeps_causes(tmp_path: Path) -> None:
    stack = contextlib.AsyncExitStack()
    store = await asyncio.create_task(stack.enter_async_context(file_store(tmp_path, max_age=60)))
    await store.put("a", b"1")
    await asyncio.create_task(stack.aclose())
    with pytest.raises(ZeroDivisionError) as raised:
        async with file_store(tmp_path, max_age=60):
            raise ZeroDivisionError from KeyError("why")
    assert isinstance(raised.value.__cause__, KeyError)


async def test_a_socket_in_the_tree_is_no_file(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(short_path / "a"))
        async with file_store(short_path) as store:
            with pytest.raises(FileMissing):
                await content(store, "a")


async def test_a_listing_ends_with_its_store(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"1")
        await store.put("b", b"1")
        listed = aiter(store.list())
        await anext(listed)
    with pytest.raises(NotOpen):
        await anext(listed)
