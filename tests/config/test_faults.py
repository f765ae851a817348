"""Planted faults: each names its key, where it stands and what was expected, and suggests the nearest spelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Between,
    ConfigError,
    ConfigFault,
    MaxLength,
    MinLength,
    OneOf,
    Pattern,
    Secret,
    Source,
    environment,
    json_file,
    load,
    mapping,
    toml_file,
)
from heykit.config.nearest import edits, nearest

EIGHT = Secret("12345678")


@dataclass(frozen=True)
class Route:
    path: str
    weight: float = 1.0


@dataclass(frozen=True)
class Database:
    url: Annotated[str, Pattern("^(postgresql|sqlite)://")] = "sqlite://"
    pool: Annotated[int, Between(1, 100)] = 5


@dataclass(frozen=True)
class Settings:
    database: Database = Database()
    debug: bool = False
    mode: Literal["fast", "slow"] = "fast"
    wait: timedelta = timedelta(seconds=1)
    ports: Annotated[tuple[int, ...], MaxLength(3)] = ()
    labels: dict[str, int] | None = None
    routes: tuple[Route, ...] = ()
    level: Annotated[str, OneOf("low", "high")] = "low"
    key: Annotated[Secret[str], MinLength(8)] = EIGHT
    size: int | None = None
    folder: Path = Path("data")


def faults(settings: type[object], *sources: Source) -> list[ConfigFault]:
    with pytest.raises(ConfigError) as caught:
        load(settings, sources)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    return list(caught.value.faults)


NAME = "the name of a setting"
DURATION = "duration, like 30s or 1h30m or a number of seconds"


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("DEBUG", "maybe", ConfigFault("debug", "bool, true or false", "APP_DEBUG", "'maybe'")),
        ("MODE", "Fast", ConfigFault("mode", "one of fast, slow", "APP_MODE", "'Fast'")),
        ("WAIT", "30 parsecs", ConfigFault("wait", DURATION, "APP_WAIT", "'30 parsecs'")),
        ("FOLDER", "", ConfigFault("folder", "Path", "APP_FOLDER", "''")),
        ("SIZE", "big", ConfigFault("size", "int", "APP_SIZE", "'big'")),
        ("LEVEL", "mid", ConfigFault("level", "str, one of low, high", "APP_LEVEL", "'mid'")),
        ("KEY", "short", ConfigFault("key", "secret str, 8 or more long", "APP_KEY", "***")),
        ("PORTS", "80,x,81", ConfigFault("ports[1]", "int", "APP_PORTS", "'x'")),
        ("PORTS", "[80, '81']", ConfigFault("ports", "list of int, 3 or less long", "APP_PORTS", "\"[80, '81']\"")),
        ("PORTS", "1,2,3,4", ConfigFault("ports", "list of int, 3 or less long", "APP_PORTS", "'1,2,3,4'")),
        ("LABELS", '{"a": "x"}', ConfigFault("labels.a", "int", "APP_LABELS", "'x'")),
        ("LABELS", "a=1", ConfigFault("labels", "table of int", "APP_LABELS", "'a=1'")),
        ("ROUTES", '[{"path": "/"}, {}]', ConfigFault("routes[1].path", "str", "APP_ROUTES", "nothing")),
        (
            "DATABASE__URL",
            "mysql://user:hunter2@db/app",
            ConfigFault(
                "database.url", "str, matching ^(postgresql|sqlite)://", "APP_DATABASE__URL", "'mysql://***@db/app'"
            ),
        ),
        ("DATABASE__POOL", "500", ConfigFault("database.pool", "int, from 1 to 100", "APP_DATABASE__POOL", "'500'")),
        ("DATABASE__POLL", "5", ConfigFault("database.poll", NAME, "APP_DATABASE__POLL", "", "APP_DATABASE__POOL")),
        ("DATABASE_POOL", "5", ConfigFault("database_pool", NAME, "APP_DATABASE_POOL", "", "APP_DATABASE__POOL")),
        ("DATABSE__URL", "x", ConfigFault("databse.url", NAME, "APP_DATABSE__URL", "", "APP_DATABASE__URL")),
        ("debug", "1", ConfigFault("debug", NAME, "APP_debug", "", "APP_DEBUG")),
    ],
)
def test_a_fault_in_a_variable(name: str, text: str, fault: ConfigFault) -> None:
    assert [fault] == faults(Settings, environment("APP_", variables={f"APP_{name}": text}))


def test_a_variable_in_the_wrong_case_is_a_near_miss() -> None:
    held = {"heygen_database__url": "sqlite://"}

    assert [
        ConfigFault("database.url", NAME, "heygen_database__url", "", "HEYGEN_DATABASE__URL"),
    ] == faults(Settings, environment("HEYGEN_", variables=held))


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ('{"debug": "true"}', 1, ConfigFault("debug", "bool, true or false", "", "'true'")),
        ('{"database":\n {"pool":\n true}}', 2, ConfigFault("database.pool", "int, from 1 to 100", "", "true")),
        ('{"database": {\n"pool": 5.0}}', 2, ConfigFault("database.pool", "int, from 1 to 100", "", "5.0")),
        ('{"ports": [\n1,\n"2"]}', 3, ConfigFault("ports[1]", "int", "", "'2'")),
        ('{"routes": [{"path": "/",\n"weigth": 1}]}', 2, ConfigFault("routes[0].weigth", NAME, "", "", "weight")),
        ('{"routes": [{},\n{"path": 1}]}', 1, ConfigFault("routes[0].path", "str", "", "nothing")),
        ('{\n"key": 12345678}', 2, ConfigFault("key", "secret str, 8 or more long", "", "***")),
        ('{\n\n"databse": {}}', 3, ConfigFault("databse", NAME, "", "", "database")),
        ('{\n"unheard": "of"}', 2, ConfigFault("unheard", NAME, "", "")),
        ('{\n"database": []}', 2, ConfigFault("database", "a table of settings", "", "a list")),
        ('{\n"database": null}', 2, ConfigFault("database", "a table of settings", "", "none")),
        ('{"debug": true,\n"mode": "slow" "wait": 1}', 2, ConfigFault("", "valid JSON", "", "Expecting ',' delimiter")),
        ('{"debug": true,\n"debug": false}', 2, ConfigFault("", "valid JSON", "", "a key that stands twice")),
        ("[1]", 1, ConfigFault("", "a table of settings", "", "a list")),
        ("", 1, ConfigFault("", "valid JSON", "", "Expecting value")),
    ],
)
def test_a_fault_in_a_json_file(tmp_path: Path, text: str, line: int, fault: ConfigFault) -> None:
    path = tmp_path / "app.json"
    path.write_text(text)

    found = faults(Settings, json_file(path))
    assert ConfigFault(fault.key, fault.expected, f"{path}:{line}", fault.found, fault.suggestion) == found[0]


@pytest.mark.parametrize(
    ("text", "line", "fault"),
    [
        ('\ndebug = "true"', 2, ConfigFault("debug", "bool, true or false", "", "'true'")),
        ("[database]\n# pool\npool = 0", 3, ConfigFault("database.pool", "int, from 1 to 100", "", "0")),
        ("database.pool = 1.5", 1, ConfigFault("database.pool", "int, from 1 to 100", "", "1.5")),
        ("ports = [\n1,\n2.5,\n]", 3, ConfigFault("ports[1]", "int", "", "2.5")),
        ('[[routes]]\npath = "/"\n[[routes]]\npath = 1', 4, ConfigFault("routes[1].path", "str", "", "1")),
        ("wait = 1979-05-27", 1, ConfigFault("wait", DURATION, "", "a date")),
        ("[databse]\nurl = 1", 1, ConfigFault("databse", NAME, "", "", "database")),
        ("debug = true\nmode = ", 2, ConfigFault("", "valid TOML", "", "Invalid value")),
        ("debug true", 1, ConfigFault("", "valid TOML", "", "Expected '=' after a key in a key/value pair")),
        ("a = 1\na = 2", 2, ConfigFault("", "valid TOML", "", "Cannot overwrite a value")),
    ],
)
def test_a_fault_in_a_toml_file(tmp_path: Path, text: str, line: int, fault: ConfigFault) -> None:
    path = tmp_path / "app.toml"
    path.write_text(text)

    assert [ConfigFault(fault.key, fault.expected, f"{path}:{line}", fault.found, fault.suggestion)] == faults(
        Settings, toml_file(path)
    )


@pytest.mark.parametrize("source", [json_file, toml_file])
def test_a_file_that_cannot_be_read_is_a_fault(tmp_path: Path, source: Callable[[str | Path], Source]) -> None:
    broken = tmp_path / "latin"
    broken.write_bytes(b"\n\xe9")

    cases: list[tuple[str | Path, str, str]] = [
        (tmp_path / "away", "a file, or required=False where it is declared", "no such file"),
        (tmp_path, "a file that can be read", "Is a directory"),
        ("a\0b", "a path", "a null character in it"),
    ]
    for path, expected, found in cases:
        shown = "'a\\x00b'" if path == "a\0b" else str(path)
        assert [ConfigFault("", expected, shown, found)] == faults(Settings, source(path))
    assert [f"{broken}:2"] == [fault.origin for fault in faults(Settings, source(broken))]


def test_what_follows_a_section_spelt_right_is_compared_alone(caplog: pytest.LogCaptureFixture) -> None:
    """`PORT` is two slips from `POOL`: no misspelling, though the whole names are long and near."""
    load(Settings, [environment("APP_", variables={"APP_DATABASE__PORT": "5432"})])

    assert caplog.messages == ["The variable APP_DATABASE__PORT is no setting and is not used"]


@pytest.mark.parametrize(("source", "text"), [(json_file, '{"debug": true}'), (toml_file, "debug = true")])
def test_a_byte_order_mark_is_no_fault(tmp_path: Path, source: Callable[[Path], Source], text: str) -> None:
    path = tmp_path / "app"
    path.write_text(text, encoding="utf-8-sig")

    assert load(Settings, [source(path)]).debug


def test_a_missing_setting_names_every_place_where_it_could_be_set(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Needs:
        port: int

    path = tmp_path / "app.toml"
    path.touch()
    sources = [mapping({}, name="defaults"), toml_file(path), environment("APP_", variables={})]

    assert [ConfigFault("port", "int", f"APP_PORT or {path} or defaults", "nothing")] == faults(Needs, *sources)
    assert [ConfigFault("port", "int", "", "nothing")] == faults(Needs)


def test_six_faults_are_reported_as_six(tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text('mode = "slw"\nunheard = 1\nports = ["x", 2, "y"]\n')
    held = {"APP_DEBUG": "maybe", "APP_DATABASE__POLL": "3"}

    assert {"database.poll", "unheard", "debug", "mode", "ports[0]", "ports[2]"} == {
        fault.key for fault in faults(Settings, toml_file(path), environment("APP_", variables=held))
    }


def test_a_rule_that_fails_itself_is_a_fault_that_names_it() -> None:
    def broken(value: str) -> str | None:
        raise ZeroDivisionError(value)

    @dataclass(frozen=True)
    class Ruled:
        name: Annotated[str, broken]

    expected = "str, a value that the rule broken can judge (it raised ZeroDivisionError)"
    assert [ConfigFault("name", expected, "mapping", "'x'")] == faults(Ruled, mapping({"name": "x"}))


def test_what_a_terminal_would_obey_is_escaped() -> None:
    [fault] = faults(Settings, mapping({"\x1b[31mred": 1}))

    assert fault.key == "'\\x1b[31mred'"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("urll", "url"),
        ("ULR", "url"),
        ("max_conections", "max_connections"),
        ("port", None),
        ("ur", "url"),
        ("u", None),
    ],
)
def test_the_nearest_spelling(name: str, near: str | None) -> None:
    assert near == nearest(name, ["host", "max_connections", "url"])


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edits_measure_a_distance(left: str, right: str, between: str) -> None:
    assert edits(left, right) == edits(right, left)
    assert (edits(left, right) == 0) == (left == right)
    assert abs(len(left) - len(right)) <= edits(left, right) <= max(len(left), len(right))
    assert edits(between + left, between + right) == edits(left, right)
    for most in range(7):
        assert (edits(left, right, most) <= most) == (edits(left, right) <= most)
        assert edits(left, right) > most or edits(left, right, most) == edits(left, right)
