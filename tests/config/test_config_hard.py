"""Settings at the edges: found by reading as someone does who wants them to fail."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import anyio
import pytest

from heykit.config import (
    ConfigError,
    Secret,
    Source,
    Url,
    dotenv,
    environment,
    json_file,
    load,
    mapping,
    read,
    secrets_directory,
    toml_file,
    watch,
    yaml_file,
)
from heykit.config.examples import example

HUNTER = "hunter2"


@dataclass(frozen=True)
class Db:
    url: str = "d"
    port: int = 0
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Server:
    db: Db = field(default_factory=Db)
    host: str = "h"


@dataclass(frozen=True)
class Settings:
    hosts: list[str] = field(default_factory=list)
    servers: list[Server] = field(default_factory=list)
    matrix: list[list[int]] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)
    pair: tuple[int, str] = (0, "")
    db: Db = field(default_factory=Db)


def env(**variables: str) -> Source:
    return environment("X_", variables={f"X_{name}": text for name, text in variables.items()})


def told(cls: type[object], *sources: Source) -> str:
    with pytest.raises(ConfigError) as caught:
        load(cls, sources)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ports", f"12,{HUNTER}"), ("ports", f'[12,"{HUNTER}"]'), ("names", f'{{"a":"{HUNTER}"}}'),
        ("names", f'{{"{HUNTER}":"x"}}'), ("pair", f'["{HUNTER}",1]'), ("servers", f'[{{"db":{{"port":"{HUNTER}"}}}}]'),
        ("ports__0", HUNTER), ("db__port", HUNTER),
    ],
)  # fmt: skip
def test_nothing_of_a_secret_file_is_told_however_it_is_taken_apart(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    assert HUNTER not in told(Settings, secrets_directory(tmp_path))
    config = read([secrets_directory(tmp_path)])
    with pytest.raises(ConfigError) as caught:
        config.get(name.partition("__")[0], bool)
    assert HUNTER not in str(caught.value)


def complains(value: object) -> str:
    return f"not {value}"


@dataclass(frozen=True)
class Ruled:
    pw: Annotated[str, complains] = ""


@dataclass(frozen=True)
class Checked:
    pw: str = ""

    def __post_init__(self) -> None:
        raise ValueError(f"bad {self.pw}")


@dataclass(frozen=True)
class Inner:
    pw: Secret[str] = Secret("")


@dataclass(frozen=True)
class Outer:
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        raise ValueError(f"bad {self.inner.pw.reveal()}")


@pytest.mark.parametrize("cls", [Ruled, Checked])
def test_what_the_users_own_code_says_of_it_is_not_told_either(tmp_path: Path, cls: type[object]) -> None:
    (tmp_path / "pw").write_text(HUNTER)
    assert HUNTER not in told(cls, secrets_directory(tmp_path))


def test_nor_what_a_section_says_of_a_secret_further_in() -> None:
    assert HUNTER not in told(Outer, mapping({"inner": {"pw": HUNTER}}))


def in_yaml(tmp_path: Path, text: str) -> Source:
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    return yaml_file(tmp_path / "x.yaml")


@pytest.mark.parametrize("text", ['hosts: ["\\UFFFFFFFF"]', 'hosts: ["\\U00110000"]', "hosts: !!int x", "\0"])
def test_no_escape_and_no_tag_is_more_than_a_fault(tmp_path: Path, text: str) -> None:
    assert "valid YAML" in told(Settings, in_yaml(tmp_path, text))


def test_tables_that_merge_tables_that_merge_tables_are_counted(tmp_path: Path) -> None:
    lines = ["a0: &a0 {}", *(f"a{at + 1}: &a{at + 1} {{<<: [*a{at}, *a{at}]}}" for at in range(40))]
    assert "more than 100000 values" in told(Settings, in_yaml(tmp_path, "\n".join(lines)))


def test_core_tags_are_read(tmp_path: Path) -> None:
    assert load(Settings, [in_yaml(tmp_path, "ports: [!!int 3, !!int 0x10]\n")]).ports == [3, 16]


def test_a_key_that_stands_before_what_is_merged_has_its_own_line(tmp_path: Path) -> None:
    text = "base: &b\n  port: 1\ndb:\n  port: bad\n  <<: *b\n"
    assert f"{tmp_path / 'x.yaml'}:4" in told(Settings, in_yaml(tmp_path, text))


def test_a_file_that_cannot_be_looked_at_is_a_fault_and_a_pipe_is_none(tmp_path: Path) -> None:
    (tmp_path / "ports").symlink_to("ports")
    os.mkfifo(tmp_path / "hosts")
    text = told(Settings, secrets_directory(tmp_path))
    assert (
        f"expected a file that can be read, found Too many levels of symbolic links, from {tmp_path / 'ports'}" in text
    )
    assert text.startswith("1 fault")


@pytest.mark.parametrize("kind", [bytes, set, complex])
def test_a_type_that_no_setting_has_is_a_type_error(kind: type[object]) -> None:
    config = read([mapping({"a": 1})])
    calls: list[Callable[[], object]] = [
        lambda: config.get("a", kind),
        lambda: config.get("missing", kind),
        lambda: config.validate({"a": {"type": kind}}),
    ]
    for call in calls:
        with pytest.raises(TypeError, match="no setting can have"):
            call()


@pytest.mark.parametrize("rule", [{"pattern": "("}, {"min_length": "q"}, {"min": None}])
def test_a_rule_that_cannot_be_read_is_a_type_error(rule: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="the rule of a"):
        read([mapping({"a": 1})]).validate({"a": rule})


def test_what_is_nested_deep_is_counted(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a":' * 64 + "1" + "}" * 64)
    assert read([json_file(tmp_path / "x.json")]).stats()["keys"] == 1


def test_items_are_laid_over_a_list_that_came_as_text() -> None:
    for below in ("a,b,c", '["a","b","c"]'):
        assert load(Settings, [env(HOSTS=below), env(HOSTS__1="z")]).hosts == ["a", "z", "c"]


def test_what_is_beneath_an_item_is_merged_as_deep_as_it_goes() -> None:
    real = {"servers": [{"db": {"url": "real", "port": 5, "tags": ["a", "b"]}}]}
    over = env(SERVERS__0__DB__PORT="9", SERVERS__0__DB__TAGS__1="z")
    belows = [
        mapping(real),
        mapping({"servers": [Server(Db("real", 5, ["a", "b"]))]}),
        env(SERVERS=json.dumps(real["servers"])),
        env(SERVERS__0=json.dumps(real["servers"][0])),
    ]
    for below in belows:
        assert load(Settings, [below, over]).servers == [Server(Db("real", 9, ["a", "z"]))]
    assert load(Settings, [mapping({"matrix": [[1, 2]]}), env(MATRIX__0__1="7")]).matrix == [[1, 7]]


def test_one_key_over_a_whole_section_leaves_the_others() -> None:
    assert load(Settings, [mapping({"db": Db("real", 5)}), env(DB__PORT="9")]).db == Db("real", 9)


def test_items_come_from_secret_files_as_well(tmp_path: Path) -> None:
    (tmp_path / "hosts__0").write_text("a")
    (tmp_path / "HOSTS__1").write_text("b")
    assert load(Settings, [secrets_directory(tmp_path)]).hosts == ["a", "b"]


def test_items_are_laid_over_lists_without_a_class_too() -> None:
    config = read([mapping({"hosts": ["a", "b"]}), env(HOSTS__0="z")])
    assert config.get("hosts", list[str]) == ["z", "b"]
    assert config.origin("hosts") == "X_HOSTS__0"


def test_variables_of_which_one_hides_the_other_are_faults() -> None:
    with pytest.raises(ConfigError, match=r"a\.b: expected one value, or a table of them, from X_A__B"):
        read([env(A="1", A__B="2")])
    with pytest.raises(ConfigError, match="a: expected one variable for each setting, found X_A as well, from X_a"):
        read([env(A="1", a="2")])


@pytest.mark.parametrize(
    ("name", "near"), [("hosts__0", "X_HOSTS__0"), ("HOSTSS__0", "X_HOSTS__0"), ("HOST__1", "X_HOSTS__1")]
)
def test_a_misspelt_item_is_a_fault(name: str, near: str) -> None:
    assert f"did you mean {near}?" in told(Settings, env(**{name: "a"}))


def test_all_that_is_wrong_in_one_file_of_variables_is_told(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nA=2\nB B\nC='x\n")
    text = told(Settings, dotenv(tmp_path / ".env"))
    assert [f".env:{line}" in text for line in (2, 3, 4)] == [True] * 3


async def test_classes_of_a_function_are_watched() -> None:
    @dataclass(frozen=True)
    class Within:
        x: float = 1

    @dataclass(frozen=True)
    class Own:
        within: Within = field(default_factory=Within)

    async with aclosing(watch(Own, [mapping({})], interval=0.01)) as watched:
        assert await anext(watched) == Own()


async def test_what_is_half_written_and_a_number_that_is_none_are_no_change(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Own:
        x: float = 1
        host: str = "default"

    file = tmp_path / "x.toml"
    await anyio.Path(file).write_text('host = "prod"\nx = nan\n')
    looks = 0

    class Flickering:
        """The file, empty at every third look."""

        def read(self, keys: Any, /) -> Any:
            nonlocal looks
            looks += 1
            return (mapping({}) if looks % 3 == 0 else toml_file(file)).read(keys)

    async with aclosing(watch(Own, [Flickering()], interval=0.005)) as watched:
        assert (await anext(watched)).host == "prod"
        with anyio.move_on_after(0.3) as limit:
            await anext(watched)
        assert limit.cancelled_caught
        assert looks > 9


# Templates


@dataclass(frozen=True)
class Tls:
    cert: str
    port: int = 1


TLS = Tls("c", 2)


@dataclass(frozen=True)
class Odd:
    none: Tls | None = None
    given: Tls = TLS
    within: Db = field(default_factory=lambda: Db("own", 7, ["t"]))
    lines: str = "a\r\nB=c"
    letters: str = 'it\'s \u00e9 \U0001f600 "quoted" \\ \x08'
    short: timedelta = timedelta(microseconds=50)
    long: timedelta = timedelta.max
    servers: list[Db] = field(default_factory=lambda: [Db("z", 6)])


def uncommented(text: str, within: str) -> str:
    """Take the marks of settings away, but for those of a section that need not be there."""
    lines = []
    for line in text.splitlines():
        is_setting = line.startswith("# ") and ("=" in line or line.startswith("# [")) and within not in line.lower()
        lines.append(line.removeprefix("# ") if is_setting and "cert" not in line and "port = 1" not in line else line)
    return "\n".join(lines)


def test_a_template_loads_back_as_the_defaults_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(example(Odd, "toml"), encoding="utf-8")
    (tmp_path / "x.json").write_text(example(Odd, "json"), encoding="utf-8")
    (tmp_path / ".env").write_text(example(Odd, "env", prefix="X_"), encoding="utf-8")
    assert load(Odd, [toml_file(tmp_path / "x.toml")]) == Odd()
    assert load(Odd, [json_file(tmp_path / "x.json")]) == Odd()
    assert load(Odd, [dotenv(tmp_path / ".env", "X_")]) == Odd()


def test_and_with_its_marks_taken_away(tmp_path: Path) -> None:
    text = example(Odd, "env", prefix="X_")
    held = uncommented(text, "x_none")
    assert "X_GIVEN__PORT=2" in held.splitlines()
    (tmp_path / ".env").write_text(held, encoding="utf-8")
    assert load(Odd, [dotenv(tmp_path / ".env", "X_")]) == Odd()
    toml = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in example(Odd, "toml").split("# [none]")[0].splitlines()
    )
    assert tomllib.loads(toml)
    (tmp_path / "x.toml").write_text(toml, encoding="utf-8")
    assert load(Odd, [toml_file(tmp_path / "x.toml")]) == Odd()


POSTGRES = Url(f"postgres://u:{HUNTER}@h/db")


@dataclass(frozen=True)
class WithPassword:
    url: Url = POSTGRES
    more: list[str] = field(default_factory=lambda: [f"https://u:{HUNTER}@h"])


@pytest.mark.parametrize("form", ["toml", "env", "json"])
def test_no_password_of_a_default_is_written_into_a_template(form: Any) -> None:
    assert HUNTER not in example(WithPassword, form)


@dataclass(frozen=True)
class Reached:
    url: Url = POSTGRES


@dataclass(frozen=True)
class Reaching:
    by_name: dict[str, Reached] = field(default_factory=lambda: {"a": Reached()})
    several: tuple[Reached, ...] = (Reached(),)
    one: Reached | int = Reached()


@pytest.mark.parametrize("form", ["toml", "env", "json"])
def test_nor_one_that_stands_further_in(form: Any) -> None:
    assert HUNTER not in example(Reaching, form)
