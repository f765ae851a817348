from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Literal, TypeAlias

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heykit.errors import FileError, FileMissing, FileTooLarge, NameRefused, NotOpen, Unavailable
from heykit.health import Checked
from heykit.resources import FileInfo, FileStore, disk, file_store


async def stream(*chunks: bytes) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(store: FileStore, name: str) -> bytes:
    async with store.open(name) as chunks:
        return b"".join([chunk async for chunk in chunks])


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def leftovers(root: Path) -> list[str]:
    return [each.name for each in (root / ".partial").iterdir()]


async def test_a_file_is_read_as_it_was_put(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        written = await store.put("videos/7.svg", b"<svg/>")

        assert await content(store, "videos/7.svg") == b"<svg/>"
        assert written == await store.info("videos/7.svg")
        assert (written.name, written.size) == ("videos/7.svg", 6)
        assert written.modified == (tmp_path / "videos/7.svg").stat().st_mtime


async def test_what_is_streamed_in_and_out_comes_in_chunks_of_at_most_64_kib(tmp_path: Path) -> None:
    chunks = [os.urandom(size) for size in (1, 0, 700_000, 65_536, 300_000, 5)]
    async with file_store(tmp_path) as store:
        await store.put("big", stream(*chunks))
        async with store.open("big") as read:
            out = [chunk async for chunk in read]

    assert b"".join(out) == b"".join(chunks)
    assert {len(chunk) for chunk in out[:-1]} == {65_536}
    assert 0 < len(out[-1]) <= 65_536


async def test_what_is_missing_says_so(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        with pytest.raises(FileMissing, match="no file 'a/b'"):
            await content(store, "a/b")
        assert await store.info("a/b") is None
        assert await store.delete("a/b") is False


async def test_a_file_replaced_or_deleted_while_it_is_read_is_read_to_its_old_end(tmp_path: Path) -> None:
    old, new = b"o" * 2_000_000, b"n" * 2_000_000
    async with file_store(tmp_path) as store:
        await store.put("a", old)
        async with store.open("a") as first:
            head = await anext(first)
            await store.put("a", new)
            async with store.open("a") as second:
                await store.delete("a")
                assert head + b"".join([chunk async for chunk in first]) == old
                assert b"".join([chunk async for chunk in second]) == new
        assert await store.info("a") is None


async def test_a_stream_that_fails_leaves_the_old_content_and_nothing_behind(tmp_path: Path) -> None:
    async def broken() -> AsyncGenerator[bytes]:
        yield b"n" * 1_000_000
        raise ConnectionResetError("the client went away")

    async with file_store(tmp_path) as store:
        await store.put("a", b"old")
        with pytest.raises(ConnectionResetError, match="went away"):
            await store.put("a", broken())

        assert await content(store, "a") == b"old"
        assert leftovers(tmp_path) == []


@pytest.mark.parametrize("way", ["scope", "task"])
async def test_a_put_cancelled_half_way_leaves_the_old_content_and_nothing_behind(tmp_path: Path, way: str) -> None:
    half_way = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes]:
        yield b"n" * 1_000_000
        half_way.set()
        await anyio.sleep_forever()

    async def put() -> None:
        with scope:
            await store.put("a", endless())

    scope = anyio.CancelScope()
    async with file_store(tmp_path) as store:
        await store.put("a", b"old")
        task = asyncio.create_task(put())
        await half_way.wait()
        (scope if way == "scope" else task).cancel()
        await asyncio.wait([task])

        assert await content(store, "a") == b"old"
        assert leftovers(tmp_path) == []


def test_discarding_waits_for_a_thread_that_still_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed under it, the descriptor's number could be another file's by the time it writes."""
    writes, may_end = Event(), Event()

    def slow(file: int, data: memoryview) -> int:
        writes.set()
        may_end.wait()
        return len(data)

    partial = disk.Partial(tmp_path)
    partial.begin()
    monkeypatch.setattr(os, "write", slow)
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(partial.write, [b"x"])
        writes.wait()
        discarding = threads.submit(partial.discard)
        with pytest.raises(TimeoutError):
            discarding.result(timeout=0.05)
        may_end.set()
        writing.result()
    assert leftovers(tmp_path) == []


def test_what_was_given_up_before_its_thread_began_stays_closed(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    before = open_files()
    reader, partial = disk.Reader(tmp_path, ["a"]), disk.Partial(tmp_path)
    reader.close()
    partial.discard()
    reader.begin()
    with pytest.raises(FileError, match="given up"):
        partial.begin()

    assert reader.read() == []
    assert open_files() == before


@given(turns=st.integers(0, 60))
@settings(max_examples=30, deadline=None)
async def test_a_put_cancelled_at_any_moment_has_happened_whole_or_not_at_all(turns: int) -> None:
    """Also by a bare asyncio cancellation, which no scope can hold off while a thread is at work."""
    old, new = b"old", b"n" * 600_000
    with TemporaryDirectory() as root:
        async with file_store(root) as store:
            await store.put("a", old)
            task = asyncio.create_task(store.put("a", stream(new, new)))
            for _ in range(turns):
                await asyncio.sleep(0.0001)
            task.cancel()
            await asyncio.wait([task])

            kept = await content(store, "a")
            assert kept == new * 2 or (task.cancelled() and kept == old)
            assert leftovers(Path(root)) == []


async def test_more_than_the_limit_is_refused_while_it_comes_and_the_limit_itself_is_taken(tmp_path: Path) -> None:
    taken = 0

    async def endless() -> AsyncGenerator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"12345"

    async with file_store(tmp_path, max_bytes=10) as store:
        await store.put("a", stream(b"12345", b"67890"))
        for too_much in (endless(), b"12345678901"):
            with pytest.raises(FileTooLarge, match="at most 10 bytes"):
                await store.put("a", too_much)

        assert await content(store, "a") == b"1234567890"
        assert leftovers(tmp_path) == []
    assert taken == 3


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", ".partial/a", "a\\b", "a\0", "", "C:/a"])
async def test_no_way_in_takes_a_name_that_could_leave_the_root(tmp_path: Path, name: str) -> None:
    async with file_store(tmp_path / "root") as store:
        for use in (store.put(name, b""), store.info(name), store.delete(name), content(store, name)):
            with pytest.raises(NameRefused):
                await use
    assert files_below(tmp_path) == []


async def test_symbolic_links_in_the_tree_lead_nowhere(tmp_path: Path) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    async with file_store(root) as store:
        (root / "folder").symlink_to(outside)
        (root / "file").symlink_to(outside / "secret")
        for name in ("folder/secret", "file"):
            with pytest.raises(FileMissing):
                await content(store, name)
            assert await store.info(name) is None
            assert await store.delete(name) is False
        with pytest.raises(NameRefused, match="choose another"):
            await store.put("folder/new", b"")
        await store.put("file", b"inside")  # takes the link's place

        assert await content(store, "file") == b"inside"
    assert {each.name: each.read_bytes() for each in outside.iterdir()} == {"secret": b"secret"}


async def test_a_pipe_in_the_tree_is_no_file_and_holds_nobody_up(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(FileMissing):
            await content(store, "pipe")
        assert await store.info("pipe") is None


async def test_a_file_and_a_directory_cannot_have_one_name(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a/b", b"1")
        with pytest.raises(NameRefused, match="'a' does not fit"):
            await store.put("a", b"2")
        with pytest.raises(NameRefused, match="'a/b/c' does not fit"):
            await store.put("a/b/c", b"2")
        assert await store.info("a") is None
        with pytest.raises(FileMissing):
            await content(store, "a")

        await store.delete("a/b")
        await store.put("a", b"2")  # the empty directory went with its last file
        assert await content(store, "a") == b"2"
        assert leftovers(tmp_path) == []


async def test_what_a_crash_left_half_written_is_swept_at_the_next_opening(tmp_path: Path) -> None:
    async with file_store(tmp_path):
        (tmp_path / ".partial" / "dead").write_bytes(b"half")
    async with file_store(tmp_path):
        assert leftovers(tmp_path) == []


async def test_a_second_store_on_the_root_leaves_alone_what_the_first_is_writing(tmp_path: Path) -> None:
    async def meanwhile() -> AsyncGenerator[bytes]:
        yield b"n" * 1_000_000
        async with file_store(tmp_path):
            yield b"n"

    async with file_store(tmp_path) as store:
        await store.put("a", meanwhile())

        assert (await content(store, "a")) == b"n" * 1_000_001


@pytest.mark.parametrize(("sweeps", "outcome"), [(1, "written"), (1000, "refused")])
async def test_a_file_swept_as_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sweeps: int, outcome: str
) -> None:
    left = iter(range(sweeps))

    def swept_before(file: int, how: int) -> None:
        for name in leftovers(tmp_path) if next(left, None) is not None else []:
            (tmp_path / ".partial" / name).unlink()

    async with file_store(tmp_path) as store:
        monkeypatch.setattr(fcntl, "flock", swept_before)
        if outcome == "written":
            await store.put("a", b"1")
            assert await content(store, "a") == b"1"
        else:
            with pytest.raises(FileError, match="takes new files away"):
                await store.put("a", b"1")


@pytest.mark.parametrize("below", ["file", "file/deeper"])
async def test_a_root_that_cannot_be_is_named_at_opening(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=rf"{tmp_path / below} cannot hold files"):
        async with file_store(tmp_path / below):
            pytest.fail("it opened")


async def test_a_root_that_goes_away_is_unavailable_and_usable_when_it_is_back(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    async with file_store(root) as store:
        await store.put("a", b"1")
        root.rename(elsewhere)
        with pytest.raises(Unavailable, match="bring the directory back"):
            await store.put("a", b"2")
        with pytest.raises(Unavailable):
            await content(store, "a")
        assert (await store.health()).status == "fail"

        elsewhere.rename(root)
        assert await content(store, "a") == b"1"
        assert (await store.health()).status == "pass"


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_is_a_clear_error_and_no_half_file(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"old")
        with no_file_above(1000), pytest.raises(FileError, match="delete files, or enlarge"):
            await store.put("a", b"n" * 2000)

        assert await content(store, "a") == b"old"
        assert leftovers(tmp_path) == []


async def test_health_is_that_of_a_resource_with_its_figures(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"123")
        await content(store, "a")
        await store.delete("a")
        assert isinstance(store, Checked)
        health = await store.health()

    assert (health.status, health.kind) == ("pass", "resource")
    assert health.figures["max_connections"] == health.figures["idle"] == 8
    assert health.figures["in_use"] == health.figures["waiting"] == health.figures["timed_out"] == 0
    assert store.stats()["acquired"] >= 6
    counted = {"files_written", "files_read", "files_deleted", "bytes_written", "bytes_read"}
    assert {name: health.figures[name] for name in counted} | {"bytes_free": 0} == {
        "files_written": 1,
        "files_read": 1,
        "files_deleted": 1,
        "bytes_written": 3,
        "bytes_read": 3,
        "bytes_free": 0,
    }


async def test_little_space_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with file_store(tmp_path) as store:
        monkeypatch.setattr(disk, "probe", {tmp_path: 1000}.get)
        health = await store.health()

    assert (health.status, health.figures["bytes_free"]) == ("warn", 1000)


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with file_store(tmp_path) as store:
        await store.put("a", b"1")
        async with store.open("a") as chunks:
            pass
        with pytest.raises(NotOpen, match="async with"):
            await anext(chunks)

    for use in (store.put("a", b""), store.info("a"), store.delete("a"), content(store, "a")):
        with pytest.raises(NotOpen, match="async with"):
            await use
    assert (await store.health()).status == "fail"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_byte_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_bytes must be 1 or more"):
        file_store("never-made", max_bytes=limit)


Action: TypeAlias = tuple[Literal["put", "delete", "open", "info"], str, list[bytes]]
actions = st.tuples(
    st.sampled_from(["put", "put", "delete", "open", "info"]),
    st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h", "f/i"]),
    st.lists(st.binary(max_size=20), max_size=3),
)


@given(history=st.lists(actions, max_size=12))
@settings(max_examples=40, deadline=None)
async def test_any_history_goes_as_in_a_dict(history: list[Action]) -> None:
    model: dict[str, bytes] = {}
    with TemporaryDirectory() as root:
        async with file_store(root) as store:
            for action, name, chunks in history:
                match action:
                    case "put":
                        model[name] = b"".join(chunks)
                        info = await store.put(name, stream(*chunks) if len(chunks) != 1 else chunks[0])
                        assert info.size == len(model[name])
                    case "delete":
                        assert await store.delete(name) is (model.pop(name, None) is not None)
                    case "open":
                        await same_content(store, name, model)
                    case "info":
                        assert size(await store.info(name)) == (len(model[name]) if name in model else None)
            for name in model:
                await same_content(store, name, model)
            assert sorted(model) == files_below(Path(root))


async def same_content(store: FileStore, name: str, model: dict[str, bytes]) -> None:
    if name in model:
        assert await content(store, name) == model[name]
    else:
        with pytest.raises(FileMissing):
            await content(store, name)


def size(info: FileInfo | None) -> int | None:
    return None if info is None else info.size


def files_below(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.rglob("*") if each.is_file())


async def test_puts_and_deletes_side_by_side_never_meet_half_a_file(tmp_path: Path) -> None:
    """Deletes take empty directories away while puts make them."""
    async with file_store(tmp_path) as store:

        async def busy(number: int) -> None:
            for turn in range(15):
                await store.put("x/y/same", bytes([number]) * 1000)
                await store.put(f"x/y/{number}", bytes([turn]) * 1000)
                assert await content(store, f"x/y/{number}") == bytes([turn]) * 1000
                await store.delete(f"x/y/{number}")
                await store.delete("x/y/same")

        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(busy, number)
        assert files_below(tmp_path) == []
