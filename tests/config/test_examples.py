"""A template of all settings: filled in where it must be, it loads as the defaults."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Between,
    ByteSize,
    ConfigError,
    MinLength,
    Secret,
    Url,
    dotenv,
    environment,
    json_file,
    load,
    toml_file,
)
from heykit.config.examples import example
from heykit.heygen import Settings as HeygenSettings
from tests.config.drawn import Drawn, leaves, settings


class Level(Enum):
    info = "info"
    debug = "debug"


SIZE = ByteSize(10 * 1024**2)


@dataclass(frozen=True)
class Deep:
    ratio: float = 0.5
    wait: timedelta = timedelta(seconds=30)
    names: dict[str, int] = field(default_factory=lambda: {"a": 1})


@dataclass(frozen=True)
class Section:
    deep: Deep = field(default_factory=Deep)
    hosts: list[str] = field(default_factory=lambda: ["a", 'b "quoted"'])
    level: Level = Level.info


@dataclass(frozen=True)
class Settings:
    name: str
    port: Annotated[int, Between(1, 65_535)]
    section: Section = field(default_factory=Section)
    secret: Annotated[Secret[str], MinLength(8)] = Secret("s3cret-default")
    size: ByteSize = SIZE
    path: Path = Path("/tmp/x y")
    mode: Literal["fast", "safe"] = "safe"
    text: str = "it's # a 'text'"
    maybe: int | None = None


def uncommented(text: str, *, without: tuple[str, ...] = ()) -> str:
    lines = []
    for line in text.splitlines():
        plain = line.removeprefix("# ")
        is_setting = line.startswith("# ") and "=" in plain and not any(plain.startswith(name) for name in without)
        lines.append(plain if is_setting else line)
    return "\n".join(lines)


def test_toml_holds_every_setting_with_what_is_expected(tmp_path: Path) -> None:
    text = example(Settings, "toml")
    assert text.startswith('# str; needed\nname = ""\n# int, from 1 to 65535; needed\nport = ""\n')
    assert "[section.deep]\n# float\n# ratio = 0.5\n" in text
    assert "s3cret" not in text
    filled = text.replace('name = ""', 'name = "x"').replace('port = ""', "port = 80")
    path = tmp_path / "x.toml"
    for written in (filled, uncommented(filled, without=("secret", "maybe"))):
        path.write_text(written)
        assert tomllib.loads(written)
        assert load(Settings, [toml_file(path)]) == Settings("x", 80)


def test_variables_do_too(tmp_path: Path) -> None:
    text = example(Settings, "env", prefix="APP_")
    assert "# float\n# APP_SECTION__DEEP__RATIO=0.5\n" in text
    assert "s3cret" not in text
    filled = text.replace("APP_NAME=", "APP_NAME=x").replace("APP_PORT=", "APP_PORT=80")
    path = tmp_path / ".env"
    for written in (filled, uncommented(filled, without=("APP_SECRET",))):
        path.write_text(written)
        assert load(Settings, [dotenv(path, "APP_")]) == Settings("x", 80)


def test_json_holds_the_defaults(tmp_path: Path) -> None:
    held = json.loads(example(Settings, "json"))
    assert held["section"]["deep"] == {"ratio": 0.5, "wait": "30s", "names": {"a": 1}}
    assert "secret" not in held
    path = tmp_path / "x.json"
    path.write_text(json.dumps({**held, "name": "x", "port": 80}))
    assert load(Settings, [json_file(path)]) == Settings("x", 80)


@pytest.mark.parametrize("form", ["toml", "env", "json"])
def test_the_settings_of_the_service_have_one(form: Literal["toml", "env", "json"], tmp_path: Path) -> None:
    text = example(HeygenSettings, form, prefix="HEYGEN_")
    path = tmp_path / "x"
    path.write_text(text)
    if form == "toml":
        assert load(HeygenSettings, [toml_file(path)]) == HeygenSettings()
    if form == "json":
        assert load(HeygenSettings, [json_file(path)]) == HeygenSettings()
    if form == "env":
        assert load(HeygenSettings, [dotenv(path, "HEYGEN_")]) == HeygenSettings()
        assert load(HeygenSettings, [environment("HEYGEN_", variables={})]) == HeygenSettings()


@given(settings(leaves()), st.sampled_from(["toml", "env", "json"]))
def test_any_settings_class_has_one(one: Drawn, form: Literal["toml", "env", "json"]) -> None:
    assert isinstance(one.hint, type)
    text = example(one.hint, form)
    if form == "toml":
        tomllib.loads(text)
    if form == "json":
        json.loads(text)


@dataclass(frozen=True)
class Untold:
    maybe: int | None = None
    url: Url = Url("https://u:hunter2@h")  # noqa: RUF009 - it cannot change
    key: Secret[str] = Secret("hunter2")


def test_a_mark_of_what_toml_cannot_say_is_not_taken_away_without_saying_it(tmp_path: Path) -> None:
    text = example(Untold, "toml")
    assert [line for line in text.splitlines() if "=" in line] == ["# maybe =", "# url =", "# key ="]
    path = tmp_path / "x.toml"
    path.write_text(text)
    assert load(Untold, [toml_file(path)]) == Untold()
    path.write_text(text.replace("# url =", "url ="))
    with pytest.raises(ConfigError, match=r"expected valid TOML, found .*, from .*x.toml:4"):
        load(Untold, [toml_file(path)])


class Colour(Enum):
    red = (255, 0, 0)


class Pause(Enum):
    short = timedelta(seconds=30)


@dataclass(frozen=True)
class Odd:
    colour: Colour = Colour.red
    pause: Pause = Pause.short
    holes: list[int | None] = field(default_factory=lambda: [None, 1])


def test_members_whose_values_json_lacks_are_written_by_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(example(Odd, "json"))
    assert load(Odd, [json_file(path)]) == Odd()
    assert '"red"' in example(Odd, "toml")
    assert '# pause = "short"' in example(Odd, "toml")
    assert "# holes =\n" in example(Odd, "toml")
