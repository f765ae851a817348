"""Settings are read again when what they come from changes."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import anyio
import pytest

from heykit.config import Between, ConfigError, json_file, mapping, watch, yaml_file


@dataclass(frozen=True)
class Settings:
    count: Annotated[int, Between(0, 10)] = 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.json"
    path.write_text('{"count": 1}')
    return path


async def write(file: Path, text: str) -> None:
    await anyio.Path(file).write_text(text)


async def following(watched: AsyncGenerator[Settings]) -> int:
    with anyio.fail_after(10):
        return (await anext(watched)).count


async def test_they_are_given_at_once_and_whenever_they_change(file: Path) -> None:
    async with aclosing(watch(Settings, [json_file(file)], interval=0.01)) as watched:
        assert await following(watched) == 1
        for count in (2, 3, 2):
            await write(file, f'{{"count": {count}}}')
            assert await following(watched) == count


async def test_a_file_that_is_written_again_with_the_same_is_no_change(file: Path) -> None:
    async with aclosing(watch(Settings, [json_file(file)], interval=0.01)) as watched:
        assert await following(watched) == 1
        await write(file, '{ "count":1 }\n')
        with anyio.move_on_after(0.1) as limit:
            await anext(watched)
        assert limit.cancelled_caught


@dataclass(frozen=True)
class Numbers:
    count: int
    floats: list[float] = field(default_factory=list)
    named: dict[str, tuple[float, ...]] = field(default_factory=dict)


async def test_a_number_that_is_none_is_the_same_wherever_it_stands(file: Path) -> None:
    rest = ', "floats": [.nan], "named": {"a": [1.0, .nan]}}'
    await write(file, '{"count": 1' + rest)
    async with aclosing(watch(Numbers, [yaml_file(file)], interval=0.01)) as watched:
        for count in (1, 2):
            await write(file, f'{{"count": {count}' + rest)
            with anyio.fail_after(10):
                assert (await anext(watched)).count == count
        with anyio.move_on_after(0.1) as limit:
            await anext(watched)
        assert limit.cancelled_caught


async def test_a_broken_change_is_told_once_and_the_settings_before_stay(file: Path) -> None:
    told: list[ConfigError] = []
    seen: list[int] = []
    async with anyio.create_task_group() as tasks:

        async def follow() -> None:
            async with aclosing(watch(Settings, [json_file(file)], interval=0.01, report=told.append)) as watched:
                async for settings in watched:
                    seen.extend([settings.count])

        tasks.start_soon(follow)
        with anyio.fail_after(10):
            while not seen:
                await anyio.sleep(0.01)
            for broken in ('{"count": 11}', "{"):
                before = len(told)
                await write(file, broken)
                while len(told) == before:
                    await anyio.sleep(0.01)
                await anyio.sleep(0.1)
                assert len(told) == before + 1
            await write(file, '{"count": 5}')
            while len(seen) < 2:
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert seen == [1, 5]
    assert [error.faults[0].key for error in told] == ["count", ""]


async def test_without_anybody_to_tell_it_is_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with aclosing(watch(Settings, [json_file(file)], interval=0.01)) as watched:
        assert await following(watched) == 1
        await write(file, '{"count": "s"}')
        with anyio.move_on_after(0.2):
            await anext(watched)
    assert "are not used" in caplog.text


async def test_settings_that_are_wrong_from_the_start_are_raised(file: Path) -> None:
    await write(file, '{"count": 11}')
    with pytest.raises(ConfigError):
        await anext(watch(Settings, [json_file(file)]))


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
async def test_an_interval_that_makes_no_sense_is_refused(interval: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        await anext(watch(Settings, [mapping({})], interval=interval))
