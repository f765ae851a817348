"""What a user of `load` and `explain` sees."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field
from datetime import timedelta
from enum import Enum, IntEnum
from pathlib import Path
from typing import Annotated, Literal, NewType

import pytest

import heykit
from heykit.config import (
    Between,
    ConfigError,
    ConfigFault,
    Entry,
    Layer,
    MinLength,
    Secret,
    Source,
    Text,
    environment,
    explain,
    json_file,
    load,
    mapping,
    toml_file,
)


@dataclass(frozen=True)
class Database:
    url: str = "sqlite:///./example.db"
    max_connections: Annotated[int, Between(1, 100)] = 20


@dataclass(frozen=True)
class Settings:
    secret_key: Annotated[Secret[str], MinLength(8)]
    database: Database = field(default_factory=Database)
    debug: bool = False


def variables(**values: str) -> Source:
    return environment("APP_", variables={f"APP_{name}": value for name, value in values.items()})


def faults_of(settings: type[object], *sources: Source) -> tuple[ConfigFault, ...]:
    with pytest.raises(ConfigError) as caught:
        load(settings, sources)
    return caught.value.faults


def test_later_sources_win_key_by_key(tmp_path: Path) -> None:
    """A file sets two keys of a section, a variable one of them again: the other stands."""
    toml = tmp_path / "app.toml"
    toml.write_text('secret_key = "from the file"\n[database]\nurl = "postgresql://db/app"\nmax_connections = 5\n')

    loaded = load(Settings, [toml_file(toml), variables(DATABASE__MAX_CONNECTIONS="7", DEBUG="yes")])

    assert Settings(Secret("from the file"), Database("postgresql://db/app", 7), debug=True) == loaded


def test_explain_tells_the_origin_of_every_setting(tmp_path: Path) -> None:
    path = tmp_path / "app.json"
    path.write_text(json.dumps({"database": {"url": "postgresql://user:hunter2@db/app"}}, indent=1))

    entries = explain(Settings, [json_file(path), variables(SECRET_KEY="0123456789")]).entries

    assert (
        Entry("secret_key", "***", "APP_SECRET_KEY", "secret str, 8 or more long"),
        Entry("database.url", "postgresql://***@db/app", f"{path}:3", "str"),
        Entry("database.max_connections", "20", "default", "int, from 1 to 100"),
        Entry("debug", "false", "default", "bool, true or false"),
    ) == entries


async def test_loaded_settings_tell_their_origins_as_health() -> None:
    health = await explain(Settings, [variables(SECRET_KEY="0123456789")]).health()

    assert (health.status, health.kind) == ("pass", "config")
    assert {"secret_key": "APP_SECRET_KEY", "debug": "default"}.items() <= health.figures.items()


def test_every_fault_of_every_source_comes_at_once(tmp_path: Path) -> None:
    toml = tmp_path / "app.toml"
    toml.write_text("[database]\nmax_connections = 500\n")
    away = tmp_path / "away.json"

    with pytest.raises(ConfigError) as caught:
        load(Settings, [toml_file(toml), json_file(away), variables(DATABSE__URL="x", DEBUG="maybe")])

    assert str(caught.value) == (
        "5 faults in the configuration:\n"
        f"  configuration: expected a file, or required=False where it is declared, found no such file, from {away}\n"
        "  databse.url: expected the name of a setting, from APP_DATABSE__URL, did you mean APP_DATABASE__URL?\n"
        "  secret_key: expected secret str, 8 or more long, found nothing, "
        f"from APP_SECRET_KEY or {away} (not read) or {toml}\n"
        f"  database.max_connections: expected int, from 1 to 100, found 500, from {toml}:2\n"
        "  debug: expected bool, true or false, found 'maybe', from APP_DEBUG"
    )


def test_the_environment_is_read_when_settings_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    source = environment("HEYKIT_TEST_")
    monkeypatch.setenv("HEYKIT_TEST_SECRET_KEY", "set after the source")

    assert load(Settings, [source]).secret_key.reveal() == "set after the source"


def test_a_file_that_is_not_required_may_be_missing(tmp_path: Path) -> None:
    sources = [toml_file(tmp_path / "no.toml", required=False), json_file(tmp_path / "no.json", required=False)]

    assert Database() == load(Database, sources)


def test_a_section_that_is_half_set_keeps_the_rest_of_its_own_default() -> None:
    @dataclass(frozen=True)
    class Two:
        main: Database = Database("postgresql://main", 3)
        spare: Database = field(default_factory=lambda: Database("postgresql://spare", 4))

    loaded = load(Two, [variables(MAIN__MAX_CONNECTIONS="9", SPARE__URL="x")])

    assert Two(Database("postgresql://main", 9), Database("x", 4)) == loaded


def test_a_section_without_a_default_is_built_from_its_fields() -> None:
    @dataclass(frozen=True)
    class Needs:
        database: Database

    assert Needs(Database()) == load(Needs, [])


def test_an_optional_section_is_none_until_a_source_sets_one_of_its_settings() -> None:
    @dataclass(frozen=True)
    class Cache:
        url: str
        ttl: timedelta = timedelta(seconds=30)

    @dataclass(frozen=True)
    class Maybe:
        cache: Cache | None = None

    assert Maybe() == load(Maybe, [])
    assert [Entry("cache", "none", "default", "a table of settings (url, ttl)")] == list(explain(Maybe, []).entries)
    assert Maybe(Cache("redis://")) == load(Maybe, [variables(CACHE__URL="redis://")])
    assert Maybe() == load(Maybe, [mapping({"cache": {"url": "x"}}), mapping({"cache": None})])
    assert faults_of(Maybe, variables(CACHE__TTL="1m"))[0].key == "cache.url"


def test_types_are_read_from_text() -> None:
    class Level(IntEnum):
        low = 0
        high = 10

    Port = NewType("Port", int)

    @dataclass(frozen=True)
    class Everything:
        port: Port
        ratio: float
        home: Path
        level: Level
        other: Level
        mode: Literal["fast", "slow", 3]
        wait: timedelta
        hosts: list[str]
        numbers: tuple[int, ...]
        pair: tuple[str, int]
        limits: dict[str, int]
        servers: list[Database]
        maybe: int | None
        either: int | str
        key: Secret[int]

    read = load(
        Everything,
        [
            variables(
                PORT="8000",
                RATIO="0.5",
                HOME="/srv",
                LEVEL="0",
                OTHER="high",
                MODE="3",
                WAIT="1h30m",
                HOSTS="a, b",
                NUMBERS="[1, 2]",
                PAIR="a,1",
                LIMITS='{"cpu": 2}',
                SERVERS='[{"url": "x"}]',
                MAYBE="",
                EITHER="x1",
                KEY="7",
            )
        ],
    )

    assert read == Everything(
        port=Port(8000),
        ratio=0.5,
        home=Path("/srv"),
        level=Level.low,
        other=Level.high,
        mode=3,
        wait=timedelta(hours=1, minutes=30),
        hosts=["a", "b"],
        numbers=(1, 2),
        pair=("a", 1),
        limits={"cpu": 2},
        servers=[Database("x")],
        maybe=None,
        either="x1",
        key=Secret(7),
    )


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("1.5", 1.5),
        ("30s", 30),
        ("250ms", 0.25),
        ("2d", 172_800),
        ("1w", 604_800),
        ("-5m", -300),
        ("1h 1s", 3601),
    ],
)
def test_durations_are_seconds_or_have_units(text: str, seconds: float) -> None:
    @dataclass(frozen=True)
    class Timed:
        wait: timedelta

    assert timedelta(seconds=seconds) == load(Timed, [variables(WAIT=text)]).wait
    assert timedelta(seconds=seconds) == load(Timed, [mapping({"wait": text})]).wait


def test_a_rule_may_be_any_function_that_says_what_it_expected() -> None:
    def even(number: int) -> str | None:
        return "an even number" if number % 2 else None

    @dataclass(frozen=True)
    class Paired:
        workers: Annotated[int, even, Between(0, 4)]

    assert Paired(4) == load(Paired, [variables(WORKERS="4")])
    assert (ConfigFault("workers", "int, from 0 to 4, an even number", "APP_WORKERS", "'7'"),) == faults_of(
        Paired, variables(WORKERS="7")
    )


def test_what_post_init_refuses_is_a_fault_of_the_section() -> None:
    @dataclass(frozen=True)
    class Range:
        low: int
        high: int

        def __post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low not above high")

    @dataclass(frozen=True)
    class Outer:
        range: Range

    assert (ConfigFault("range", "low not above high", "mapping"),) == faults_of(
        Outer, mapping({"range": {"low": 2, "high": 1}})
    )


def test_an_unknown_variable_is_logged_once_by_name_and_not_by_value(caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes sets HEYGEN_SERVICE_HOST by itself."""
    source = variables(SERVICE_HOST="10.0.0.1")
    with caplog.at_level(logging.WARNING, "heykit.config"):
        load(Database, [source])
        explain(Database, [source])

    assert caplog.messages == ["The variable APP_SERVICE_HOST is no setting and is not used"]


def test_an_unknown_variable_is_ignored_or_a_fault_where_that_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    held = {"APP_SERVICE_HOST": "10.0.0.1"}

    assert Database() == load(Database, [environment("APP_", unknown="ignore", variables=held)])
    assert caplog.messages == []
    assert (ConfigFault("service_host", "the name of a setting", "APP_SERVICE_HOST"),) == faults_of(
        Database, environment("APP_", unknown="fault", variables=held)
    )


def test_with_an_empty_prefix_other_variables_belong_to_others(caplog: pytest.LogCaptureFixture) -> None:
    held = {"URL": "x", "PATH": "/bin", "MAX_CONECTIONS": "3"}

    assert Database("x") == load(Database, [environment("", variables=held)])
    assert caplog.messages == []


def test_a_source_of_ones_own_is_an_object_that_reads_a_layer() -> None:
    class Vault:
        def read(self, keys: tuple[tuple[str, ...], ...]) -> Layer:
            assert keys == (("url",), ("max_connections",))
            return Layer({"max_connections": Text("8")}, lambda trail: f"vault {trail[0]}")

    assert [entry.origin for entry in explain(Database, [Vault()]).entries] == ["default", "vault max_connections"]


def test_values_in_a_mapping_may_have_the_types_of_the_settings() -> None:
    class Mode(Enum):
        fast = "f"

    @dataclass(frozen=True)
    class Typed:
        home: Path
        mode: Mode
        key: Secret[str]
        database: Database

    values = {"home": Path("/srv"), "mode": Mode.fast, "key": Secret("s"), "database": Database("x")}

    assert Typed(Path("/srv"), Mode.fast, Secret("s"), Database("x")) == load(Typed, [mapping(values)])


def test_a_class_that_cannot_hold_settings_is_a_type_error() -> None:
    @dataclass
    class Melted:
        url: str

    @dataclass(frozen=True)
    class Odd:
        when: complex

    @dataclass(frozen=True)
    class Lost:
        where: Nowhere  # type: ignore[name-defined]  # noqa: F821

    @dataclass(frozen=True)
    class Loop:
        inner: Loop | None = None

    @dataclass(frozen=True)
    class Same:
        a__b: str
        a: Ab

    @dataclass(frozen=True)
    class Ab:
        b: str

    @dataclass(frozen=True)
    class RuledSection:
        database: Annotated[Database, MinLength(1)]

    for settings, message in [
        (RuledSection, "RuledSection.database is a section with rules"),
        (int, "frozen dataclass"),
        (Melted, "not frozen"),
        (Odd, "Odd.when has the type complex"),
        (Lost, "the name Nowhere"),
        (Loop, "holds itself"),
        (Same, "a__b and a.b would both be set by APP_A__B"),
    ]:
        with pytest.raises(TypeError, match=message):
            load(settings, [variables()])


def test_metadata_of_others_does_not_hide_a_section() -> None:
    @dataclass(frozen=True)
    class Noted:
        database: Annotated[Database, "the main one"]

    assert Noted(Database("x")) == load(Noted, [variables(DATABASE__URL="x")])


class Colour(Enum):
    RED = "#f00"
    BLUE = "#00f"


@pytest.mark.parametrize("written", ["#f00", "RED"])
@pytest.mark.parametrize("source", [lambda text: variables(COLOUR=text), lambda text: mapping({"colour": text})])
def test_members_in_a_literal_are_read_as_members_of_their_enumeration_are(
    written: str, source: Callable[[str], Source]
) -> None:
    @dataclass(frozen=True)
    class Painted:
        colour: Literal[Colour.RED, "none"] = Colour.RED

    assert load(Painted, [source(written)]).colour is Colour.RED
    assert load(Painted, [source("none")]).colour == "none"
    with pytest.raises(ConfigError, match="expected one of #f00, none, found '#00f'"):
        load(Painted, [source("#00f")])


def modules_after(program: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-S", "-c", f"{program}; import sys; print(*sys.modules)"],
        cwd=Path(heykit.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(ran.stdout.split())


def test_importing_config_loads_nothing_but_its_front_door() -> None:
    assert modules_after("import heykit.config") - modules_after("import sys") <= {
        "heykit", "heykit._lazy", "heykit.config", "__future__",
    }  # fmt: skip


def test_the_parts_of_config_load_neither_fastapi_nor_pydantic_nor_what_is_not_used_yet() -> None:
    loaded = modules_after("from heykit.config import MinLength, Secret, environment, explain, json_file, load")

    others = ("_dotenv", "_toml_file", "_yaml_file", "yaml_nodes", "dynamic", "watching", "json_lines")
    assert "heykit.config.loading" in loaded
    assert not loaded & {"fastapi", "pydantic", "anyio", "tomllib", "yaml", "logging", "asyncio"}
    assert not loaded & {f"heykit.config.{name}" for name in others}


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        load(Database, []).url = "other"  # type: ignore[misc]
