"""A signing key that is made on the first start."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import anyio
import pytest

from heykit.errors import KeyRefused
from heykit.security import jws
from heykit.security.key_file import key_from_file
from heykit.security.keys import Key


def same(one: Key, other: Key) -> bool:
    return jws.verify(jws.sign(b"signed by one", one), other) == b"signed by one"


async def test_it_is_made_once_for_its_owner_alone_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "signing-key"
    with caplog.at_level(logging.WARNING, "heykit.security"):
        made = await key_from_file(path)
        assert same(made, await key_from_file(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [record.message for record in caplog.records] == [
        f"made a signing key in {path}: set one of your own in production"
    ]
    assert os.listdir(tmp_path) == ["signing-key"]  # noqa: PTH208 - a test may wait


async def test_of_many_that_start_at_once_all_have_the_same(tmp_path: Path) -> None:
    made: list[Key] = []

    async def start() -> None:
        made.append(await key_from_file(tmp_path / "signing-key"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(start)
    assert all(same(made[0], other) for other in made)


async def test_one_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "signing-key"
    await key_from_file(path)
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="chmod 600"):
        await key_from_file(path)


@pytest.mark.parametrize("held", ["", "not hexadecimal", "abcd", "é"])
async def test_what_is_no_key_is_refused_and_not_overwritten(tmp_path: Path, held: str) -> None:
    path = tmp_path / "signing-key"
    path.write_text(held, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyRefused, match="signing-key holds no signing key: delete it"):
        await key_from_file(path)
    assert path.read_text(encoding="utf-8") == held


@pytest.mark.parametrize("kind", ["directory", "dangling link", "pipe"])
async def test_what_is_no_plain_file_is_told_so(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "signing-key"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyRefused, match="is no plain file"):
        await key_from_file(path)
