"""What one source gives and another gives too: laid over one another, whatever form either has."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    ConfigError,
    ConfigFault,
    Secret,
    Source,
    dotenv,
    environment,
    explain,
    json_file,
    load,
    mapping,
    read,
    secrets_directory,
    yaml_file,
)
from tests.config.servers import Server, Settings, Tls


@dataclass(frozen=True)
class Nested:
    s: Settings = field(default_factory=Settings)


SECRET = "hunter-2"


def in_full(error: BaseException) -> str:
    """Write the traceback with the locals of heykit's own functions."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    inner = [frame for frame in frames if "heykit" in Path(frame.filename).parts]
    assert inner
    return str(error) + "".join(traceback.StackSummary.from_list(inner).format())


def env(**variables: str) -> Source:
    return environment("APP_", variables={f"APP_{name}": text for name, text in variables.items()})


def faults(*sources: Source, settings: type[object] = Settings) -> tuple[ConfigFault, ...]:
    with pytest.raises(ConfigError) as raised:
        load(settings, sources)
    return raised.value.faults


TABLES = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(), max_size=3)


@given(st.lists(st.tuples(st.booleans(), TABLES), max_size=4))
def test_objects_are_laid_key_by_key_whether_they_come_as_text_or_as_tables(
    layers: list[tuple[bool, dict[str, int]]],
) -> None:
    sources = [env(LIMITS=json.dumps(each)) if is_text else mapping({"limits": each}) for is_text, each in layers]
    merged: dict[str, int] = {}
    for _, each in layers:
        merged |= each
    assert load(Settings, sources).limits == merged


def test_a_text_that_is_an_object_replaces_that_of_an_earlier_source_where_a_text_is_wanted() -> None:
    assert load(Settings, [env(TEXT='{"a": 1}'), env(TEXT='{"b": 2}')]).text == '{"b": 2}'


def test_an_item_as_an_object_is_laid_over_that_of_an_earlier_source() -> None:
    below, above = env(SERVERS__0='{"host": "a"}'), env(SERVERS__0='{"need": {"port": 1}}')
    assert load(Settings, [below, above]).servers == [Server("a", None, Tls(port=1))]


def test_a_setting_as_an_object_is_laid_over_what_its_section_has_there() -> None:
    loaded = load(Nested, [env(S='{"limits": {"a": 1}, "text": "t"}', S__LIMITS='{"b": 2}')])
    assert loaded == Nested(Settings(limits={"a": 1, "b": 2}, text="t"))


def test_each_entry_of_objects_over_one_another_keeps_its_origin(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("""LIMITS='{"a": "bad", "b": 1}'""")
    below, above = dotenv(tmp_path / ".env"), env(LIMITS='{"b": "worse"}')
    assert [(fault.key, fault.origin) for fault in faults(below, above)] == [
        ("limits.a", f"{tmp_path / '.env'}:1 LIMITS"),
        ("limits.b", "APP_LIMITS"),
    ]


@pytest.mark.parametrize("name", ["LIMITS", "SERVERS__0"])
def test_a_key_that_stands_twice_in_an_object_is_a_fault(name: str) -> None:
    [fault] = faults(env(**{name: '{"a": 1, "a": 2}'}))
    assert fault.origin == f"APP_{name}"


@given(st.permutations(range(4)))
def test_items_of_several_sources_are_one_list(places: list[int]) -> None:
    sources = [env(**{f"HOSTS__{place}": str(place)}) for place in places]
    assert load(Settings, sources).hosts == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("below", "found"),
    [(mapping({"hosts": 5}), "5"), (mapping({"hosts": "a,b"}), "'a,b'"), (env(HOSTS='["a", "b"'), '\'["a", "b"\'')],
)
def test_an_item_over_what_is_no_list_is_a_fault(below: Source, found: str) -> None:
    [fault] = faults(below, env(HOSTS__0="x"))
    assert (fault.key, fault.expected, fault.found) == ("hosts[0]", "list of str beneath it", found)
    assert fault.origin == "APP_HOSTS__0"
    assert load(Settings, [below, env(HOSTS__0="x"), mapping({"hosts": ["whole"]})]).hosts == ["whole"]


def test_a_gap_after_a_list_names_the_item_that_is_missing() -> None:
    [fault] = faults(mapping({"hosts": ["a", "b"]}), env(HOSTS__5="x"))
    assert (fault.key, fault.expected, fault.origin) == ("hosts[5]", "an item 2 before it", "APP_HOSTS__5")


def test_numbers_are_names_where_a_table_is_beneath() -> None:
    config = read([mapping({"ports": {"80": "a", "443": "b"}}), env(PORTS__80="x")])
    assert config.section("ports") == {"80": "x", "443": "b"}
    assert (config.get("ports.80", str), config.origin("ports.80")) == ("x", "APP_PORTS__80")
    config = read([mapping({"ports": {"http": "a"}}), env(PORTS__0="x")])
    assert config.section("") == {"ports": {"http": "a", "0": "x"}}


def test_where_no_class_says_what_is_there_items_take_the_place_of_what_is_no_list() -> None:
    assert read([mapping({"hosts": 5}), env(HOSTS__0="x")]).section("") == {"hosts": ["x"]}


def test_numbers_with_a_gap_are_names_where_nothing_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("\nPORTS__80=x\nHOSTS__0=a\nHOSTS__1=b\n")
    config = read([dotenv(tmp_path / ".env")])
    assert config.section("") == {"ports": {"80": "x"}, "hosts": ["a", "b"]}
    assert (config.get("ports.80", str), config.get("hosts", list[str])) == ("x", ["a", "b"])
    assert config.origin("ports.80").endswith(".env:2 PORTS__80")
    assert config.stats()["keys"] == 2


def test_a_section_within_an_item_may_be_an_object_or_nothing() -> None:
    object = '{"cert": "x"}'
    assert load(Settings, [env(SERVERS__0__TLS=object)]).servers == [Server(tls=Tls("x"))]
    assert load(Settings, [env(SERVERS__0__TLS="")]).servers == [Server()]
    assert load(Settings, [env(BY_NAME__A__NEED=object)]).by_name == {"a": Server(need=Tls("x"))}
    below = mapping({"servers": [{"tls": {"port": 3}}]})
    assert load(Settings, [below, env(SERVERS__0__TLS=object)]).servers == [Server(tls=Tls("x", 3))]
    [fault] = faults(env(SERVERS__0__TLS="x"))
    assert (fault.key, fault.found, fault.origin) == ("servers[0].tls", "a value", "APP_SERVERS__0__TLS")


def test_the_spelling_of_a_file_over_a_variable_wins(tmp_path: Path) -> None:
    below = env(LIMITS__CPU="1")
    assert load(Settings, [below, mapping({"limits": {"CPU": 5}})]).limits == {"CPU": 5}
    assert load(Settings, [below, mapping({"limits": {"CPU": 5, "cpu": 6}})]).limits == {"CPU": 5, "cpu": 6}
    (tmp_path / "c.json").write_text('{"limits":\n{\n"CPU": "bad"}}')
    [fault] = faults(below, json_file(tmp_path / "c.json"))
    assert (fault.key, fault.origin) == ("limits.CPU", f"{tmp_path / 'c.json'}:3")


@dataclass(frozen=True)
class Made:
    url: str
    kind: str = field(init=False, default="pg")


@dataclass(frozen=True)
class Whole:
    made: Made


def test_a_ready_section_beneath_gives_what_it_was_made_of() -> None:
    assert load(Whole, [mapping({"made": Made("x")}), env(MADE__URL="y")]) == Whole(Made("y"))


def test_a_table_or_list_of_several_sources_names_each(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text('{"hosts": ["a",\n"b"],\n"limits": {"x": 1, "y": 2}}')
    over = env(HOSTS__1="z", LIMITS__Z="3", TEXT='{"a": 1}')
    origins = {
        entry.key: entry.origin
        for entry in explain(Settings, [json_file(tmp_path / "o.json"), env(TEXT='{"b": 1}'), over]).entries
    }
    assert origins["hosts"] == f"{tmp_path / 'o.json'}:1, APP_HOSTS__1"
    assert origins["limits"] == f"{tmp_path / 'o.json'}:3, APP_LIMITS__Z"
    assert (origins["text"], origins["servers"]) == ("APP_TEXT", "default")
    whole = explain(Settings, [json_file(tmp_path / "o.json"), env(HOSTS="c")])
    assert whole.entries[2].origin == "APP_HOSTS"


def test_an_item_of_a_list_is_read_by_its_place(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text('{"hosts": ["a",\n"b"],\n"servers": [{"host": "h",\n"port": "x"}]}')
    config = read([json_file(tmp_path / "o.json"), env(HOSTS__1="z", MORE='["a", "b"]')])
    assert [config.get(f"hosts.{at}", str) for at in (0, 1)] == ["a", "z"]
    assert [config.origin(f"hosts.{at}") for at in (0, 1, 2)] == [f"{tmp_path / 'o.json'}:1", "APP_HOSTS__1", ""]
    assert (config.get("servers.0.host", str), config.get("more.1", str)) == ("h", "b")
    with pytest.raises(ConfigError) as raised:
        config.get("servers.0.port", int)
    [fault] = raised.value.faults
    assert (fault.key, fault.found, fault.origin) == ("servers[0].port", "'x'", f"{tmp_path / 'o.json'}:4")
    above = read([env(DB='{"url": "x"}'), env(DB='{"pool": 1}')])
    assert above.section("") == {"db": {"url": "x", "pool": 1}}
    config.validate({"servers.0.port": {"type": "str", "min_length": 1}, "hosts.2": {"required": False}})


def test_sources_may_come_one_by_one() -> None:
    assert load(Settings, cast("list[Source]", (mapping({"hosts": [each]}) for each in "ab"))).hosts == ["b"]
    assert read(cast("list[Source]", map(mapping, [{"hosts": ["a"]}]))).section("") == {"hosts": ["a"]}


@dataclass(frozen=True)
class Hiding:
    key: Secret[str]
    limits: dict[str, int] = field(default_factory=dict)


DEEP = '{"a":' * 600 + "1" + "}" * 600


def deep_sources(path: Path) -> Iterator[Source]:
    endless: dict[str, object] = {}
    endless["limits"] = endless
    (path / "x.json").write_text(f'{{"key": "{SECRET}", "limits": {DEEP}}}')
    (path / "x.yaml").write_text(f"key: {SECRET}\nlimits: {'[' * 100}{']' * 100}\n")
    (path / "key").write_text(SECRET)
    (path / "limits").write_text(DEEP)
    yield json_file(path / "x.json")
    yield yaml_file(path / "x.yaml")
    yield secrets_directory(path)
    yield env(KEY=SECRET, LIMITS=DEEP)
    yield env(KEY=SECRET, **{"LIMITS__" + "__".join("a" * 600): "1"})
    yield mapping({"key": SECRET, "limits": json.loads('{"a":' * 100 + "1" + "}" * 100)})
    yield mapping({"key": SECRET, **endless})


@pytest.mark.parametrize("at", range(7))
def test_what_is_nested_too_deep_is_a_fault(tmp_path: Path, at: int) -> None:
    source = [*deep_sources(tmp_path)][at]
    with pytest.raises(ConfigError) as raised:
        load(Hiding, [mapping({"limits": {"a": 1}}), source])
    assert SECRET not in in_full(raised.value)
    assert any(fault.origin for fault in raised.value.faults)


def test_two_settings_of_one_name_are_refused_before_a_variable_is_read() -> None:
    @dataclass(frozen=True)
    class Two:
        url: str = ""
        URL: str = ""

    with pytest.raises(TypeError, match="would both be set by APP_URL") as raised:
        load(Two, [env(PASSWORD=SECRET)])
    assert SECRET not in in_full(raised.value)


def test_names_of_variables_are_escaped_in_messages() -> None:
    for name in ("LIMITS__\x1b[2J", "LIMTS__\x1b[2J", "LIMITS__\udcff"):
        [fault] = faults(env(**{name: "bad"}))
        assert str(fault).isprintable(), name


def test_much_is_read_in_the_time_of_its_length(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"K{at}=1\n" for at in range(40_000)))
    (tmp_path / "x.yaml").write_text(
        "".join(["b: &b\n", *(f" k{at}: 1\n" for at in range(8_000)), "limits:\n <<: *b\n"])
        + "".join(f" k{at}: 2\n" for at in range(8_000))
    )
    assert read([dotenv(tmp_path / ".env")]).stats()["keys"] == 40_000
    assert read([yaml_file(tmp_path / "x.yaml")]).section("limits")["k7"] == 2
    assert len(faults(env(**{f"LIMITS__K{at}": "x" for at in range(2_000)}))) == 2_000
    assert len(faults(env(**{f"HOSTS__{at + 1}": "x" for at in range(2_000)}))) == 1
    assert load(Settings, [env(**{"__".join(["AB"] * 2_000): "1"})]) == Settings()
    config = read([mapping({"t": {f"k{at}": at for at in range(500)}})])
    config.validate({f"more{at}.x": {"default": at} for at in range(2_000)})
    assert config.stats()["keys"] == 2_500
    with pytest.raises(ConfigError, match="500 faults"):
        config.validate({f"t.q{at}": {"required": True} for at in range(500)})


def test_what_a_merged_table_has_and_another_has_too_is_of_the_first(tmp_path: Path) -> None:
    text = "a: &a\n  x: 1\n  t: {u: 1}\nb: &b\n  x: bad\n  t: {v: bad}\n  y: 2\nlimits:\n  <<: [*a, *b]\n  y: worse\n"
    (tmp_path / "x.yaml").write_text(text)
    assert read([yaml_file(tmp_path / "x.yaml")]).section("limits") == {"x": 1, "t": {"u": 1}, "y": "worse"}
    (tmp_path / "x.yaml").write_text(text.replace("x: 1", "x: bad").replace("{u: 1}", "7"))
    config = read([yaml_file(tmp_path / "x.yaml")])
    assert [config.origin(f"limits.{name}").rpartition(":")[2] for name in ("x", "t", "y")] == ["2", "3", "10"]
