"""A directory for what a service keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from heykit.errors import Unavailable
from heykit.resources import made_directory


async def test_it_is_made_with_those_above_it_and_may_be_there_already(tmp_path: Path) -> None:
    wanted = tmp_path / "one" / "two"
    assert await made_directory(wanted) == wanted
    assert await made_directory(wanted) == wanted
    assert wanted.is_dir()


async def test_what_stands_in_its_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match=r"file/below cannot be made \(Not a directory\): choose another"):
        await made_directory(tmp_path / "file" / "below")
