"""Settings without a class: typed by the one who asks, judged by rules in a dictionary."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Config,
    ConfigError,
    ConfigFault,
    Secret,
    dotenv,
    environment,
    mapping,
    read,
    secrets_directory,
    toml_file,
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "app.toml"
    file.write_text('[database]\nurl = "sqlite:///x.db"\npool = 5\n[cache]\nttl = "30s"\nhosts = ["a", "b"]\n')
    held = {"APP_DATABASE__URL": "postgresql://u:s3cret@h/x", "APP_DEBUG": "yes", "OTHER": "x", "APP_LIMITS__MAX": "9"}
    return read([toml_file(file), environment("APP_", variables=held)])


def faults_of(error: pytest.ExceptionInfo[ConfigError]) -> list[ConfigFault]:
    return list(error.value.faults)


def test_a_setting_is_read_as_the_type_that_is_asked_for(config: Config) -> None:
    assert config.get("database.url", str) == "postgresql://u:s3cret@h/x"
    assert config.get("database.pool", int) == 5
    assert config.get("debug", bool) is True
    assert config.get("cache.ttl", timedelta) == timedelta(seconds=30)
    assert config.get("cache.hosts", list[str]) == ["a", "b"]
    assert config.get("limits.max", int) == 9
    assert config.get("database.url", Secret).reveal() == "postgresql://u:s3cret@h/x"


def test_what_is_not_set_has_the_default_or_is_a_fault_that_says_where_it_could_be(
    config: Config, tmp_path: Path
) -> None:
    assert config.get("database.timeout", int, 7) == 7
    with pytest.raises(ConfigError) as caught:
        config.get("database.pol", int)
    [fault] = faults_of(caught)
    assert (fault.expected, fault.found, fault.suggestion) == ("int", "nothing", "database.pool")
    assert fault.origin == f"APP_DATABASE__POL or {tmp_path / 'app.toml'}:1"


def test_what_is_of_another_type_is_a_fault_with_its_origin_and_no_secret(config: Config) -> None:
    with pytest.raises(ConfigError) as caught:
        config.get("database.url", int)
    [fault] = faults_of(caught)
    assert fault == ConfigFault("database.url", "int", "APP_DATABASE__URL", "'postgresql://***@h/x'")
    with pytest.raises(ConfigError, match=r"database: expected str"):
        config.get("database", str)


def test_a_section_is_what_was_written_beneath_it(config: Config) -> None:
    assert config.section("database") == {"url": "postgresql://u:s3cret@h/x", "pool": 5}
    assert config.section("cache") == {"ttl": "30s", "hosts": ["a", "b"]}
    assert config.section("nothing") == config.section("debug") == {}


def test_each_setting_tells_where_it_came_from(config: Config, tmp_path: Path) -> None:
    assert config.origin("database.url") == "APP_DATABASE__URL"
    assert config.origin("database.pool") == f"{tmp_path / 'app.toml'}:3"
    assert config.origin("nothing") == ""


def test_it_counts_and_shows_nothing(config: Config) -> None:
    assert config.stats() == {"sources": 2, "keys": 6}
    assert "s3cret" not in repr(config)


def test_sources_of_every_kind_are_read_whole(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("APP_A__B=1\nAPP_C=2\nOTHER=3\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a__password").write_text("s3cret")
    config = read([mapping({"x": 1}), dotenv(tmp_path / ".env", "APP_"), secrets_directory(tmp_path / "secrets")])
    assert config.get("a.b", int) == 1
    assert config.get("x", int) == 1
    assert config.section("a")["password"] == Secret("s3cret")
    with pytest.raises(ConfigError) as caught:
        config.get("a.password", int)
    assert "s3cret" not in str(caught.value)


def test_what_is_wrong_with_a_source_is_told_when_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read([toml_file(tmp_path / "no.toml")])


RULES: dict[str, dict[str, object]] = {
    "database.url": {"type": "str", "required": True, "pattern": "^postgresql://", "min_length": 10},
    "database.pool": {"type": int, "min": 1, "max": 10},
    "cache.hosts": {"type": "list", "max_length": 3},
    "level": {"type": "str", "one_of": ["info", "debug"], "default": "info"},
    "debug": {"type": "bool"},
}


def test_settings_that_keep_the_rules_are_fine_and_defaults_are_known_from_then_on(config: Config) -> None:
    config.validate(RULES)
    assert config.get("level", str) == "info"
    assert config.origin("level") == "default"


def test_all_that_break_the_rules_are_faults_at_once() -> None:
    held = {
        "database": {"url": "mysql://u:s3cret@h", "pool": 11},
        "cache": {"hosts": ["a", "b", "c", "d"]},
        "level": "loud",
        "debug": "maybe",
    }
    config = read([mapping(held, name="here")])
    with pytest.raises(ConfigError) as caught:
        config.validate(RULES)
    found = {fault.key: fault for fault in faults_of(caught)}
    assert found.keys() == RULES.keys()
    assert found["database.url"].expected == "str, matching ^postgresql://, 10 or more long"
    assert found["database.pool"].found == "11"
    assert "s3cret" not in str(caught.value)


def test_what_is_required_and_missing_is_a_fault(config: Config) -> None:
    with pytest.raises(ConfigError) as caught:
        config.validate({"database.urll": {"required": True}, "database.other": {}})
    [fault] = faults_of(caught)
    assert (fault.key, fault.found, fault.suggestion) == ("database.urll", "nothing", "database.url")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"requierd": True}, "did you mean required"),
        ({"type": "text"}, "name one of str"),
        ({"zzz": 1}, "there are type"),
    ],
)
def test_a_rule_that_there_is_not_is_refused(config: Config, rule: dict[str, object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        config.validate({"database.url": rule})


def test_a_rule_without_a_type_takes_any(config: Config) -> None:
    config.validate(
        {
            "database": {"required": True},
            "database.pool": {"required": True, "min": 1},
            "cache.hosts": {"min_length": 2},
            "debug": {"one_of": ["yes", "no"]},
            "limits.max": {"max": 9.5},
        }
    )
    with pytest.raises(ConfigError, match=r"database.pool: expected int or float, 6 or more, found 5"):
        config.validate({"database.pool": {"min": 6}})


def test_types_have_names() -> None:
    held = {"numbers": [1, "a"], "table": {"a": 1}, "wait": "30s", "size": "1 MiB", "url": "http://h/x", "folder": "a"}
    rules = {"numbers": "list", "table": "dict", "wait": "duration", "size": "size", "url": "url", "folder": "path"}
    config = read([mapping(held)])
    config.validate({key: {"type": name} for key, name in rules.items()})
    with pytest.raises(ConfigError) as caught:
        read([mapping(dict.fromkeys(held, 1.5))]).validate({key: {"type": name} for key, name in rules.items()})
    assert {fault.key for fault in faults_of(caught)} == held.keys() - {"wait"}  # a number of seconds


def test_a_default_that_breaks_its_own_rule_is_a_mistake(config: Config) -> None:
    with pytest.raises(TypeError, match="has a default that is not int"):
        config.validate({"n": {"type": "int", "default": "five"}})
    with pytest.raises(TypeError, match="one_of is a list"):
        config.validate({"n": {"one_of": "abc"}})


def test_a_default_of_a_rule_is_set_from_then_on_and_read_as_any_setting(config: Config) -> None:
    config.validate({"cache.wait": {"type": "duration", "default": "5s"}, "new.size": {"default": 3}})
    assert config.get("cache.wait", timedelta) == timedelta(seconds=5)
    assert config.section("new") == {"size": 3}
    assert config.section("cache")["wait"] == "5s"
    assert (config.origin("cache.wait"), config.origin("cache.ttl")[-2:]) == ("default", ":5")
    with pytest.raises(ConfigError, match=r"new.size: expected bool, true or false, found 3, from default"):
        config.get("new.size", bool)


def test_what_may_be_none_needs_no_default(config: Config) -> None:
    optional: type[int | None] = int | None  # type: ignore[assignment]
    assert config.get("nothing", optional) is None


def test_a_table_in_one_text_is_looked_into() -> None:
    held = {"APP_DATABASE": '{"port": 2}', "APP_DATABASE__POOL": "3", "APP_KEY": '{"type": "a"}'}
    config = read([mapping({"database": {"url": "u", "port": 1}}), environment("APP_", variables=held)])
    assert config.section("database") == {"url": "u", "port": 2, "pool": "3"}
    origins = {name: config.origin(f"database.{name}") for name in ("url", "port", "pool")}
    assert origins == {"url": "mapping", "port": "APP_DATABASE", "pool": "APP_DATABASE__POOL"}
    assert (config.get("key", str), config.get("key.type", str)) == ('{"type": "a"}', "a")


def test_a_variable_sets_what_a_file_calls_by_capitals() -> None:
    held = {"APP_MAXSIZE": "2", "APP_DB__POOLSIZE": "3", "APP_NEWNAME": "4"}
    config = read([mapping({"maxSize": 1, "db": {"poolSize": 1}}), environment("APP_", variables=held)])
    assert (config.get("maxSize", int), config.get("db.poolSize", int), config.get("newName", int)) == (2, 3, 4)
    assert [config.origin(key) for key in ("maxSize", "db.poolSize")] == ["APP_MAXSIZE", "APP_DB__POOLSIZE"]
    assert config.section("db") == {"poolSize": "3"}


def test_whole_lists_and_tables_are_given_as_they_were_written(config: Config) -> None:
    assert config.get("cache.hosts", list) == ["a", "b"]
    assert config.get("cache", dict) == config.section("cache")
    assert config.section("").keys() == {"database", "cache", "debug", "limits"}


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda _: read([1]), "a int is no source"),  # type: ignore[list-item]
        (lambda _: read(mapping({})), "sources are a list"),  # type: ignore[arg-type]
        (lambda config: config.validate({"a": int}), "the rule of a is no table"),
        (lambda config: config.get(5, int), "a key is a text"),
    ],
)
def test_a_mistake_in_a_call_is_told(config: Config, call: Callable[[Any], object], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        call(config)


def test_a_default_goes_beneath_a_table_in_one_text() -> None:
    config = read([environment("APP_", variables={"APP_A": '{"count": 1}'})])
    config.validate({"a.b": {"default": 3}, "a.count": {"type": "int"}})
    assert (config.get("a.b", int), config.section("a")) == (3, {"b": 3, "count": 1})
    with pytest.raises(ConfigError, match=r"did you mean a\.count"):
        config.get("a.conut", int)


def test_a_default_that_has_no_room_is_a_fault() -> None:
    config = read([environment("APP_", variables={"APP_A": "x"})])
    with pytest.raises(ConfigError, match=r"a\.b: expected a value, found nothing"):
        config.validate({"a.b": {"default": 3}})


def test_defaults_of_which_one_hides_the_other_are_a_mistake(config: Config) -> None:
    with pytest.raises(TypeError, match=r"a and a\.b have defaults"):
        config.validate({"a.b": {"default": 1}, "a": {"default": 3}})


def test_the_default_of_a_secret_is_one(config: Config) -> None:
    config.validate({"password": {"type": "secret", "default": "hunter2"}})
    assert config.get("password", Secret).reveal() == "hunter2"
    assert config.section("")["password"] == Secret("hunter2")
    with pytest.raises(ConfigError) as caught:
        config.get("password", int)
    assert "hunter2" not in str(caught.value)


def in_tracebacks(call: Callable[[], object]) -> str:
    """All that a traceback with locals shows of heykit's own frames."""
    with pytest.raises((ConfigError, TypeError)) as caught:
        call()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    inner = [frame for frame in frames if "heykit" in Path(frame.filename).parts]
    assert inner
    return str(caught.value) + "".join(traceback.StackSummary.from_list(inner).format())


def test_no_traceback_shows_a_secret() -> None:
    config = read([mapping({"key": "hunter2", "url": "http://u:hunter2@h", "table": {"key": "hunter2"}, "n": 1})])
    calls: list[Callable[[], object]] = [
        lambda: config.validate({"key": {"type": "secret", "min_length": 99}}),
        lambda: config.validate({"key": {"type": "secret"}, "n": {"typo": 1}}),
        lambda: config.get("key", Secret[int]),
        lambda: config.get("url", timedelta),
        lambda: config.get("table", int),
        lambda: config.get("table.kye", str),
    ]
    for call in calls:
        assert "hunter2" not in in_tracebacks(call)


values = st.recursive(
    st.integers() | st.text(max_size=4) | st.booleans() | st.none(),
    lambda inner: (
        st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, max_size=3) | st.lists(inner, max_size=2)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), values, max_size=4),
    st.lists(st.tuples(st.text("ABC_", max_size=6), st.text(max_size=4)), max_size=5),
    st.text("abc.", max_size=6),
)
def test_nothing_but_config_error_comes_of_any_key(
    held: dict[str, object], variables: list[tuple[str, str]], key: str
) -> None:
    config = read([mapping(held), environment("", variables=dict(variables))])
    for kind in (str, int, bool, list[int], Secret):
        try:
            config.get(key, kind)
        except ConfigError:
            continue
    config.section(key)
    config.origin(key)
