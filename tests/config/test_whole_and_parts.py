"""Sections and tables from variables, as a whole or name by name; what of a union came nearest; what is misused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Between,
    ConfigError,
    ConfigFault,
    MinLength,
    Secret,
    Source,
    environment,
    explain,
    json_file,
    load,
    mapping,
    read,
    secrets_directory,
)
from heykit.config.examples import example


@dataclass(frozen=True)
class Tls:
    cert: str = "none"
    key: Secret[str] | None = None


@dataclass(frozen=True)
class Server:
    host: str
    port: int = 80


@dataclass(frozen=True)
class Settings:
    tls: Tls | None = None
    server: Server = field(default_factory=lambda: Server("here"))
    limits: dict[str, int] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    either: Server | Tls = field(default_factory=Tls)
    hosts: list[str] = field(default_factory=list)
    pool: list[Server] = field(default_factory=list)
    debug: bool = False


def by_variables(**values: str) -> Source:
    return environment("APP_", variables={f"APP_{name}": value for name, value in values.items()})


def faults(*sources: Source, settings: type[object] = Settings) -> list[ConfigFault]:
    with pytest.raises(ConfigError) as caught:
        load(settings, sources)
    return list(caught.value.faults)


def test_a_section_is_read_whole_and_laid_key_by_key_over_what_an_earlier_source_has() -> None:
    below = mapping({"server": {"host": "file", "port": 1}})

    assert load(Settings, [below, by_variables(SERVER='{"port": 2}')]).server == Server("file", 2)
    assert load(Settings, [by_variables(TLS='{"cert": "c"}')]).tls == Tls("c")


def test_variables_of_its_settings_win_over_the_one_of_the_section() -> None:
    both = by_variables(SERVER='{"host": "a", "port": 2}', SERVER__HOST="b")

    assert load(Settings, [both]).server == Server("b", 2)
    assert {entry.key: entry.origin for entry in explain(Settings, [both]).entries}["server.port"] == "APP_SERVER"


def test_empty_text_is_none_where_a_section_may_be_none() -> None:
    below = mapping({"tls": {"cert": "c"}, "server": {"host": "file"}})

    assert load(Settings, [below, by_variables(TLS="")]).tls is None
    [fault] = faults(below, by_variables(SERVER=""))
    assert (fault.key, fault.found, fault.origin) == ("server", "none", "APP_SERVER")


@pytest.mark.parametrize("text", ["on", "[1]", "{", "postgres://u:hunter2@h"])
def test_a_section_that_is_no_table_is_a_fault(text: str) -> None:
    [fault] = faults(by_variables(SERVER=text))

    expected = "a JSON object of its settings, or a variable for each"
    assert fault == ConfigFault("server", expected, "APP_SERVER", "another text")


def test_a_fault_within_a_whole_section_is_one_of_its_variable() -> None:
    assert faults(by_variables(SERVER='{"host": 1, "prot": 2}')) == [
        ConfigFault("server.prot", "the name of a setting", "APP_SERVER", "", "port"),
        ConfigFault("server.host", "str", "APP_SERVER", "1"),
    ]


def test_without_a_prefix_only_an_object_is_a_section() -> None:
    assert load(Settings, [environment("", variables={"SERVER": "root", "TLS": ""})]) == Settings()
    assert load(Settings, [environment("", variables={"SERVER": '{"host": "x"}'})]).server.host == "x"


def test_a_mounted_file_may_hold_a_section_and_shows_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text('{"cert": "hunter2", "key": "hunter2"}')

    loaded = explain(Settings, [secrets_directory(tmp_path)])

    assert loaded.settings.tls == Tls("hunter2", Secret("hunter2"))
    assert "hunter2" not in repr(loaded)


def test_a_table_is_set_name_by_name() -> None:
    below = mapping({"limits": {"cpu": 1, "memory": 2}})

    assert load(Settings, [below, by_variables(LIMITS__CPU="3", LIMITS__GPU="4")]).limits == {
        "cpu": 3, "memory": 2, "gpu": 4,
    }  # fmt: skip
    assert load(Settings, [by_variables(SERVERS__A__HOST="h", SERVERS__A__PORT="1")]).servers == {"a": Server("h", 1)}
    assert load(Settings, [by_variables(EITHER__HOST="h")]).either == Server("h")


def test_a_name_in_a_table_may_be_a_number() -> None:
    assert load(Settings, [by_variables(LIMITS__0="1", LIMITS__CPU="2")]).limits == {"0": 1, "cpu": 2}


def test_numbers_beside_names_are_names() -> None:
    for sources in (
        [by_variables(X__404="a", X__B="b")],
        [by_variables(X__404="a"), by_variables(X__B="b")],
        [by_variables(X__B="b"), by_variables(X__404="a")],
        [by_variables(X__404="a"), mapping({"x": {"b": "b"}})],
    ):
        config = read(sources)
        assert config.section("x") == {"404": "a", "b": "b"}
        assert (config.get("x.404", str), config.origin("x.404")) == ("a", "APP_X__404")


def test_a_number_that_begins_with_0_is_a_name() -> None:
    assert read([mapping({"x": {"007": "x"}}), by_variables(X__007="y")]).section("x") == {"007": "y"}
    assert read([by_variables(X__0="y")]).section("") == {"x": ["y"]}


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_0-9]{0,5}(?<!_)", fullmatch=True), st.integers(), max_size=4))
def test_any_table_set_name_by_name_is_the_table(limits: dict[str, int]) -> None:
    held = {f"LIMITS__{name}".upper(): str(value) for name, value in limits.items() if "__" not in name}

    assert load(Settings, [by_variables(**held)]).limits == {
        name: value for name, value in limits.items() if "__" not in name
    }


def test_a_fault_in_a_table_names_its_variable() -> None:
    assert faults(by_variables(LIMITS__CPU="x", SERVERS__A__PORT="1", SERVERS__A__PROT="2")) == [
        ConfigFault("limits.cpu", "int", "APP_LIMITS__CPU", "'x'"),
        ConfigFault("servers.a.prot", "the name of a setting", "APP_SERVERS__A__PROT", "", "port"),
        ConfigFault("servers.a.host", "str", "APP_SERVERS__A__HOST", "nothing"),
    ]


@pytest.mark.parametrize(
    ("name", "near"), [("HOSTS_0", "HOSTS__0"), ("HOSTS0", "HOSTS"), ("POOL_0__HOST", "POOL__0__HOST")]
)
def test_an_item_with_too_few_lines_between_is_a_fault(name: str, near: str) -> None:
    [fault] = faults(by_variables(**{name: "x"}))

    assert fault.suggestion == f"APP_{near}"


@dataclass(frozen=True)
class Camel:
    maxConn: int = 1  # noqa: N815 - as people have it
    name: str = ""


@dataclass(frozen=True)
class Cased:
    limits: dict[str, int] = field(default_factory=dict)
    pools: dict[str, Camel] = field(default_factory=dict)
    listed: list[Camel] = field(default_factory=list)


@dataclass(frozen=True)
class Named:
    service: Server = field(default_factory=lambda: Server("here"))
    ports: list[int] = field(default_factory=list)
    pool: list[Server] = field(default_factory=list)
    data: str = ""
    mode: str = ""
    keys: str = ""
    host: str = ""


def test_what_kubernetes_sets_is_none(caplog: pytest.LogCaptureFixture) -> None:
    held = {
        "APP_PORT": "tcp://10.0.0.1:80", "APP_PORT_80_TCP": "tcp://10.0.0.1:80", "APP_PORT_80_TCP_ADDR": "10.0.0.1",
        "APP_SERVICE_HOST": "10.0.0.1", "APP_SERVICE_PORT": "80", "APP_SERVICE_PORT_HTTP": "80",
        "APP_SERVER_SERVICE_HOST": "fd00::1", "APP_SERVER_SERVICE_PORT": "80", "APP_SERVER_PORT": "udp://[fd00::1]:80",
    }  # fmt: skip

    assert load(Named, [environment("APP_", variables=held)]) == Named()
    assert len(caplog.messages) == len(held)
    assert load(Named, [environment("APP_", unknown="ignore", variables=held)]) == Named()
    assert len(caplog.messages) == len(held)
    assert len(faults(environment("APP_", unknown="fault", variables=held), settings=Named)) == len(held)


def test_but_a_setting_without_its_line_is_a_fault_where_the_host_is_none_of_kubernetes() -> None:
    found = faults(by_variables(SERVICE_HOST="db.internal", SERVICE_PORT="5432", PORT="80"), settings=Named)

    assert [fault.suggestion for fault in found] == ["APP_PORTS", "APP_SERVICE__HOST", "APP_SERVICE__PORT"]


@pytest.mark.parametrize("name", ["DATE", "MODEL", "KEY", "POST", "MODES", "ODE"])
def test_a_short_name_of_another_word_is_no_misspelling(name: str) -> None:
    assert load(Named, [by_variables(**{name: ""})]) == Named()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("MDOE", "MODE"),
        ("MOODE", "MODE"),
        ("MDE", "MODE"),
        ("KEYSS", "KEYS"),
        ("mode", "MODE"),
        ("SERVICE__PRT", "SERVICE__PORT"),
        ("POOL__0_HOST", "POOL__0__HOST"),
        ("PORTS__A", "PORTS"),
        ("MODE__X", "MODE"),
        ("SERVICE__HOST__X", "SERVICE__HOST"),
    ],
)
def test_what_begins_or_ends_as_a_setting_does_is_a_misspelling(name: str, near: str) -> None:
    [fault] = faults(by_variables(**{name: "x"}), settings=Named)

    assert fault.suggestion == f"APP_{near}"


def test_an_entry_by_a_variable_is_the_one_that_a_file_writes_with_capitals() -> None:
    file = mapping({"limits": {"CPU": 1}, "pools": {"Main": {"maxConn": 3}}})
    source = by_variables(LIMITS__CPU="2", POOLS__MAIN__MAXCONN="4", LISTED__0__MAXCONN="5")

    assert load(Cased, [file, source]) == Cased({"CPU": 2}, {"Main": Camel(4)}, [Camel(5)])
    below = load(Cased, [source, mapping({"limits": {"GPU": 1}, "pools": {"Main": {"name": "m"}}})])
    assert below == Cased({"cpu": 2, "GPU": 1}, {"Main": Camel(4, "m")}, [Camel(5)])
    assert {type(name) for name in below.limits} == {str}
    bad = by_variables(LIMITS__CPU="x", POOLS__MAIN__MAXCONN="y", LISTED__0__MAXCONN="z")
    assert [(fault.key, fault.origin) for fault in faults(file, bad, settings=Cased)] == [
        ("limits.CPU", "APP_LIMITS__CPU"),
        ("pools.Main.maxConn", "APP_POOLS__MAIN__MAXCONN"),
        ("listed[0].maxConn", "APP_LISTED__0__MAXCONN"),
    ]


def test_a_table_as_an_object_is_laid_key_by_key_too_and_an_empty_text_is_an_empty_table() -> None:
    file = mapping({"limits": {"cpu": 1, "memory": 2}})

    loaded = load(Settings, [file, by_variables(LIMITS='{"cpu": 3}', LIMITS__GPU="4")])
    assert loaded.limits == {"cpu": 3, "memory": 2, "gpu": 4}
    assert load(Settings, [file, by_variables(LIMITS="{}")]).limits == {"cpu": 1, "memory": 2}
    assert load(Settings, [file, by_variables(LIMITS="")]).limits == {}
    fault, *_ = faults(file, by_variables(LIMITS='{"gpu": "x"}'))
    assert (fault.key, fault.origin) == ("limits.gpu", "APP_LIMITS")
    [fault] = faults(mapping({"limits": {"cpu": "x"}}, name="below"), by_variables(LIMITS='{"gpu": 1}'))
    assert (fault.key, fault.origin) == ("limits.cpu", "below")


CASED = st.dictionaries(st.from_regex("[a-zA-Z]{1,4}", fullmatch=True), st.integers(), max_size=4).filter(
    lambda table: len({name.lower() for name in table}) == len(table)
)


@given(CASED, CASED)
def test_any_variables_over_any_table_set_its_entries_in_whatever_case(
    table: dict[str, int], more: dict[str, int]
) -> None:
    upper = by_variables(**{f"LIMITS__{name}".upper(): str(value) for name, value in more.items()})
    spelling = {name.lower(): name for name in table}
    expected = {**table, **{spelling.get(name.lower(), name.lower()): value for name, value in more.items()}}

    loaded = explain(Cased, [mapping({"limits": table}), upper])

    assert loaded.settings.limits == expected
    assert read([mapping({"limits": table}), upper]).get("limits", dict[str, int]) == expected


def test_a_gap_among_items_is_named() -> None:
    [fault] = faults(by_variables(HOSTS__1="b"))

    assert (fault.key, fault.expected, fault.found) == ("hosts[1]", "an item 0 before it", "none")
    assert fault.origin == "APP_HOSTS__1"


def test_what_a_class_refuses_names_all_its_settings_and_hides_the_password_alone() -> None:
    @dataclass(frozen=True)
    class Checked:
        url: str = ""
        size: int = 0

        def __post_init__(self) -> None:
            if self.size:
                raise ValueError(f"size must be 0 for {self.url} and http://docs")

    given = by_variables(URL="pg://u:hunter2@h/x?password=hunter2", SIZE="1")
    [fault] = faults(given, settings=Checked)
    assert fault.expected == "size must be 0 for pg://***@h/x?password=*** and http://docs"
    assert fault.origin == "APP_URL, APP_SIZE"


def test_a_fault_in_a_union_of_sections_is_that_of_the_one_that_comes_nearest(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{\n"either": {\n"host": "h",\n"prot": 1}}')

    assert faults(json_file(file)) == [
        ConfigFault("either.prot", "the name of a setting", f"{file}:4", "", "port"),
    ]
    assert faults(by_variables(EITHER='{"crt": "x"}')) == [
        ConfigFault("either.crt", "the name of a setting", "APP_EITHER", "", "cert"),
    ]
    assert [fault.key for fault in faults(by_variables(EITHER="text"))] == ["either"]


def test_a_factory_that_fails_is_a_fault_that_shows_no_other_setting() -> None:
    def failing() -> int:
        raise KeyError("HOME")

    @dataclass(frozen=True)
    class Made:
        key: Secret[str]
        size: int = field(default_factory=failing)

    [fault] = faults(mapping({"key": "hunter2"}), settings=Made)
    assert fault == ConfigFault("size", "a value, for the factory of the default raised KeyError", "mapping", "nothing")


def test_a_class_that_says_nothing_of_what_it_refuses_is_named() -> None:
    @dataclass(frozen=True)
    class Silent:
        debug: bool = False

        def __post_init__(self) -> None:
            if self.debug:
                raise ValueError

    [fault] = faults(by_variables(DEBUG="1"), settings=Silent)
    assert fault.expected == "settings Silent accepts (ValueError)"


def test_a_factory_of_a_section_that_fails_hides_no_other_fault() -> None:
    def failing() -> Server:
        raise RuntimeError("hunter2")

    @dataclass(frozen=True)
    class Made:
        server: Server = field(default_factory=failing)
        size: int = 3

    found = faults(mapping({"server": {"port": 2}, "size": "x"}), settings=Made)
    assert [fault.key for fault in found] == ["server", "server.host", "size"]
    assert "hunter2" not in f"{found}{example(Made, 'toml')}"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("APP_SERVR", "APP_SERVER"),
        ("app_server", "APP_SERVER"),
        ("APP_LIMTS__CPU", "APP_LIMITS__CPU"),
        ("app_limits__cpu", "APP_LIMITS__CPU"),
    ],
)
def test_a_section_or_a_table_that_is_misspelt_is_a_fault(name: str, near: str) -> None:
    [fault] = faults(environment("APP_", variables={name: '{"port": 2}'}))

    assert (fault.origin, fault.suggestion) == (name, near)


@dataclass(frozen=True)
class Flat:
    port: int = 1
    debug: bool = False
    hosts: list[str] = field(default_factory=list)


def test_with_one_line_between_what_kubernetes_sets_is_none_either() -> None:
    held = {"APP_PORT_80_TCP": "tcp://10.0.0.1", "APP_PORT_80_TCP_PORT": "80", "APP_HOSTS_0": "a"}

    assert load(Flat, [environment("APP_", separator="_", variables=held)]) == Flat(hosts=["a"])


def test_what_has_no_items_is_not_suggested_to_have_one() -> None:
    assert load(Flat, [environment("APP_", variables={"APP_DEBUG_1": "x", "APP_PORT_80": "x"})]) == Flat()
    [fault] = faults(environment("APP_", variables={"APP_DEBUG__1": "x"}), settings=Flat)
    assert (fault.expected, fault.found) == ("bool, true or false", "a table")


@pytest.mark.parametrize("separator", ["_x_", "_X_", "."])
def test_a_separator_is_read_in_capitals(separator: str) -> None:
    held = {f"APP_SERVER{separator}HOST".upper(): "h", f"APP_LIMITS{separator}CPU".upper(): "1"}
    source = environment("APP_", separator=separator, variables=held)

    assert load(Settings, [source]) == Settings(server=Server("h"), limits={"cpu": 1})
    assert read([source]).get("server.host", str) == "h"


@dataclass(frozen=True)
class Inner:
    c: int = 0


@dataclass(frozen=True)
class Other:
    d: int = 0


@dataclass(frozen=True)
class Outer:
    b: Other = field(default_factory=Other)


@dataclass(frozen=True)
class Clashing:
    a_b: Inner = field(default_factory=Inner)
    a: Outer = field(default_factory=Outer)


def test_a_name_of_two_sections_is_that_of_none(caplog: pytest.LogCaptureFixture) -> None:
    held = {"APP_A_B": '{"c": 1}', "APP_A_B_D": "2"}

    assert load(Clashing, [environment("APP_", separator="_", variables=held)]) == Clashing(a=Outer(Other(2)))
    assert caplog.messages == ["The variable APP_A_B is no setting and is not used"]


def test_an_entry_of_a_table_wins_over_the_one_in_its_section() -> None:
    @dataclass(frozen=True)
    class Held:
        inner: Flat | None = None
        limits: dict[str, dict[str, int]] = field(default_factory=dict)

    @dataclass(frozen=True)
    class Around:
        held: Held = field(default_factory=Held)

    both = by_variables(HELD='{"limits": {"a": {"0": 1, "b": 2}}}', HELD__LIMITS__A__B="3")
    assert load(Around, [both]).held.limits == {"a": {"0": 1, "b": 3}}


def test_what_a_terminal_would_obey_is_escaped_in_the_name_of_an_entry(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text("x")
    (tmp_path / "limits__\x1b[31mx").write_text("1")

    assert "\x1b" not in str(ConfigError(faults(secrets_directory(tmp_path))))


@pytest.mark.parametrize(
    ("name", "text"),
    [("server", '{"host": "h", "port": 48.3920, "x": 483920}'), ("limits", '{"cpu": 48.3920}')],
)
def test_no_number_of_a_mounted_file_is_shown(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    more = {"limits": by_variables(LIMITS__X="1"), "server": by_variables(SERVER__HOST="x")}[name]

    found = faults(secrets_directory(tmp_path), more)

    assert all("48" not in fault.expected + fault.found for fault in found)


@dataclass(frozen=True)
class Login:
    token: Secret[str]
    number: int
    more: int


@dataclass(frozen=True)
class Quoting:
    token: str

    def __post_init__(self) -> None:
        raise ValueError(f"the token {self.token} is bad")


@dataclass(frozen=True)
class WithLogin:
    inner: Login


@dataclass(frozen=True)
class WithQuoting:
    inner: Quoting


@dataclass(frozen=True)
class First:
    kind: Literal["first"]
    path: str


@dataclass(frozen=True)
class Second:
    kind: Literal["second"]
    url: str


@dataclass(frozen=True)
class Unions:
    login: WithLogin | WithQuoting | None = None
    kind: First | Second | None = None
    table: dict[str, int] | Server | None = None


@pytest.mark.parametrize("text", ['{"token": "hunter2", "number": "x", "m": 1}', '{"token": "hunter2"}'])
def test_a_union_shows_no_secret_of_one_of_its_members(text: str) -> None:
    found = faults(by_variables(LOGIN=f'{{"inner": {text}}}'), settings=Unions)
    assert "hunter2" not in str(ConfigError(found))


def test_of_a_union_names_that_are_wrong_tell_more_than_values() -> None:
    found = faults(mapping({"kind": {"kind": "second", "path": "p"}}), settings=Unions)
    assert {(fault.key, fault.found) for fault in found} == {("kind.path", ""), ("kind.url", "nothing")}
    [fault] = faults(mapping({"table": {"port": "x"}}), settings=Unions)
    assert fault.key == "table"
    [fault] = faults(mapping({"kind": {"kind": "third", "path": "p"}}), settings=Unions)
    assert fault.key == "kind"


def test_half_of_a_password_that_a_comma_cuts_is_not_shown_either() -> None:
    held = by_variables(HOSTS="postgres://u:hun,ter2@h/db")
    shown = {entry.key: entry.shown for entry in explain(Settings, [held]).entries}

    assert shown["hosts"] == "***"


def test_what_was_not_read_is_named_so_where_something_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('{"key": "0123456789",}')

    @dataclass(frozen=True)
    class Needed:
        key: Annotated[str, MinLength(3)]

    broken, missing = faults(json_file(file), by_variables(), settings=Needed)
    assert broken.origin == f"{file}:1"
    assert missing.origin == f"APP_KEY or {file} (not read)"


@dataclass(frozen=True)
class WithInitVar:
    seed: InitVar[int]
    size: int = 0


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: load(Settings(), []), "as their class, not as a Settings"),  # type: ignore[arg-type]
        (lambda: load(Settings, by_variables()), "sources are a list"),  # type: ignore[arg-type]
        (lambda: load(Settings, ["app.toml"]), "a str is no source"),  # type: ignore[list-item]
        (lambda: load(WithInitVar, []), "seed is an InitVar"),
    ],
)
def test_a_mistake_in_the_call_is_told(call: Callable[[], object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        call()


def test_a_path_that_is_empty_is_none() -> None:
    [fault] = faults(json_file(""))
    assert (fault.expected, fault.found) == ("a path", "an empty one")
    with pytest.raises(ValueError, match="working directory"):
        secrets_directory("")


def test_a_range_that_allows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="allows nothing"):
        Between(5, 1)


@given(st.dictionaries(st.sampled_from(["host", "port", "x"]), st.integers() | st.text(max_size=3), max_size=3))
def test_a_whole_section_is_read_as_the_same_section_of_a_file_is(section: dict[str, object]) -> None:
    def loaded(source: Source) -> object:
        try:
            return load(Settings, [source]).server
        except ConfigError as error:
            return sorted((fault.key, fault.expected, fault.found) for fault in error.faults)

    if section:
        assert loaded(by_variables(SERVER=json.dumps(section))) == loaded(mapping({"server": section}))


NAMES = st.sampled_from(
    [
        *("SERVER", "SERVER__HOST", "SERVER__HOST__X", "TLS", "TLS__CERT", "LIMITS", "LIMITS__A", "LIMITS__A__B"),
        *("SERVERS", "SERVERS__A", "SERVERS__A__HOST", "SERVERS__0__HOST", "EITHER", "EITHER__HOST", "EITHER__KEY"),
        *("HOSTS", "HOSTS__0", "HOSTS__0__X", "HOSTS__", "LIMITS__", "LIMITS____A", "HOSTS_0", "DEBUG__X"),
    ]
)
TEXTS = st.sampled_from(["", "1", "x", "[]", "{}", "null", '{"a": 1}', '{"host": "h"}', '{"host": {"x": 1}}', '["a"]'])


@given(st.dictionaries(NAMES, TEXTS, max_size=5), st.dictionaries(NAMES, TEXTS, max_size=5))
def test_whatever_names_and_texts_come_together_nothing_but_config_error_comes_of_it(
    lower: dict[str, str], upper: dict[str, str]
) -> None:
    below = {name.lower(): json.loads(text) for name, text in lower.items() if text not in ("", "x")}
    for sources in ([by_variables(**lower), by_variables(**upper)], [mapping(below), by_variables(**upper)]):
        try:
            assert isinstance(load(Settings, sources), Settings)
        except ConfigError as error:
            assert all(fault.origin for fault in error.faults)  # noqa: PT017 - what loads is fine as well
