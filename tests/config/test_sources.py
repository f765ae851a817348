"""Settings from `.env` files, YAML files, directories of secrets, and items of lists from variables."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    Between,
    ByteSize,
    ConfigError,
    ConfigFault,
    Secret,
    Source,
    Url,
    dotenv,
    environment,
    explain,
    json_file,
    load,
    mapping,
    secrets_directory,
    toml_file,
    yaml_file,
)
from tests.config.drawn import Drawn, flat, leaves, optionals, settings, variables


@dataclass(frozen=True)
class Server:
    host: str = "localhost"
    port: Annotated[int, Between(1, 65_535)] = 80


@dataclass(frozen=True)
class Database:
    url: str = "sqlite:///x.db"
    password: Secret[str] = Secret("")


@dataclass(frozen=True)
class Settings:
    database: Database = field(default_factory=Database)
    hosts: list[str] = field(default_factory=list)
    servers: tuple[Server, ...] = ()
    count: int = 0


def faults(*sources: Source, cls: type[object] = Settings) -> list[ConfigFault]:
    with pytest.raises(ConfigError) as caught:
        load(cls, sources)
    return list(caught.value.faults)


def env(text: str, tmp_path: Path, prefix: str = "") -> Settings:
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    return load(Settings, [dotenv(tmp_path / ".env", prefix)])


# .env files


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("DATABASE__URL=plain", "plain"),
        ("  export DATABASE__URL = spaced  ", "spaced"),
        ("DATABASE__URL=with # a comment", "with"),
        ("DATABASE__URL=with#none", "with#none"),
        ("DATABASE__URL='# no comment' # but this", "# no comment"),
        (r"DATABASE__URL='\n $X \" stand for themselves'", r"\n $X \" stand for themselves"),
        (r'DATABASE__URL="a\n\t\"b\" \\ \$X \q"', 'a\n\t"b" \\ $X \\q'),
        ('DATABASE__URL="two\nlines"', "two\nlines"),
        ("DATABASE__URL='two\nlines'", "two\nlines"),
        ("DATABASE__URL=a=b=c", "a=b=c"),
        ("DATABASE__URL=it's", "it's"),
        ("DATABASE__URL=\u00fc\u4e2d\U0001f98a", "\u00fc\u4e2d\U0001f98a"),
        ("DATABASE__URL=$HOME/${X}", "$HOME/${X}"),
        ("DATABASE__URL=", ""),
        ("DATABASE__URL=#fff", "#fff"),
        ("DATABASE__URL= # a comment", ""),
        ("DATABASE__URL=a\u00a0", "a\u00a0"),
        ("\r\n# first\r\nDATABASE__URL=crlf\r\n", "crlf"),
        ("\ufeffDATABASE__URL=bom", "bom"),
    ],
)
def test_a_line_is_a_name_and_a_value(tmp_path: Path, line: str, value: str) -> None:
    assert env(line, tmp_path).database.url == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("COUNT=1\nno equals sign", 2),
        ("=1", 1),
        ("1COUNT=1", 1),
        ("\n\nCOUNT='never closed\n\n", 3),
        ('COUNT="never closed \\"', 1),
        ("COUNT='1' 2", 1),
        ("COUNT=1\nCOUNT=2", 2),
        ("\0", 1),
    ],
)
def test_what_is_no_such_line_is_a_fault_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / ".env"
    path.write_text(text)
    [fault] = faults(dotenv(path))
    assert (fault.expected, fault.origin) == ("valid lines of NAME=value", f"{path}:{line}")


def test_its_names_are_judged_as_variables_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / ".env"
    path.write_text("APP_COUNT=x\nAPP_DATABASE__ULR=y\napp_hosts=z\nAPP_KUBERNETES_HOST=1\nOTHER=1\n")
    found = {fault.key: fault for fault in faults(dotenv(path, "APP_"))}
    assert found["count"] == ConfigFault("count", "int", f"{path}:1 APP_COUNT", "'x'")
    assert found["database.ulr"].suggestion == "APP_DATABASE__URL"
    assert found["database.ulr"].origin == f"{path}:2 APP_DATABASE__ULR"
    assert found["hosts"].suggestion == "APP_HOSTS"
    assert len(found) == 3
    assert "APP_KUBERNETES_HOST" in caplog.text
    assert "OTHER" not in caplog.text


def test_variables_win_over_it_where_they_come_later_and_each_has_its_origin(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("COUNT=1\nDATABASE__URL=file\n")
    loaded = explain(Settings, [dotenv(path), environment("", variables={"COUNT": "2"})])
    origins = {entry.key: entry.origin for entry in loaded.entries}
    assert loaded.settings.count == 2
    assert origins["count"] == "COUNT"
    assert origins["database.url"] == f"{path}:2 DATABASE__URL"
    assert origins["hosts"] == "default"


def test_a_file_that_is_missing_is_a_fault_where_it_is_needed(tmp_path: Path) -> None:
    assert load(Settings, [dotenv(tmp_path / "no", required=False)]) == Settings()
    [fault] = faults(dotenv(tmp_path / "no"))
    assert (fault.origin, fault.found) == (str(tmp_path / "no"), "no such file")


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


@given(settings(st.one_of(leaves(), optionals())))
def test_settings_written_as_such_a_file_load_back_equal(one: Drawn) -> None:
    assert isinstance(one.hint, type)
    lines = [f"{name}={quoted(text)}" for name, text in variables(flat(one), "APP_").items()]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ".env"
        path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
        if "\ud800" <= max("".join(lines), default="") <= "\udfff":
            return
        assert load(one.hint, [dotenv(path, "APP_")]) == one.value


@given(st.text() | st.from_regex(r"([A-Z_]{0,5}=?['\"\\ #\n$]{0,4}[a-z]{0,3}\n?){0,6}"))
def test_no_text_makes_it_raise_anything_else(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ".env"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(Settings, [dotenv(path)])
        except ConfigError:
            return


# YAML


def from_yaml(text: str, tmp_path: Path, cls: type[object] = Settings) -> object:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return load(cls, [yaml_file(path)])


def test_yaml_is_read_with_its_anchors_and_merges(tmp_path: Path) -> None:
    assert from_yaml("hosts: [a, b]\ncount: 0x10\n", tmp_path) == Settings(hosts=["a", "b"], count=16)
    text = "servers:\n- &first {host: a, port: 1}\n- <<: *first\n  port: 2\n- *first\n"
    servers = (Server("a", 1), Server("a", 2), Server("a", 1))
    assert from_yaml(text, tmp_path) == Settings(servers=servers)


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("no", "no"), ("on", "on"), ("y", "y"), ("1:30", "1:30"), ("2001-12-14", "2001-12-14"), ("1_000", "1_000"),
        ("'1'", "1"), ('"\\u00fc\\n"', "\u00fc\n"), ("!!str 5", "5"), ("|\n    two\n    lines\n", "two\nlines\n"),
        ("0o", "0o"),
    ],
)  # fmt: skip
def test_what_yaml_1_1_took_for_something_else_is_text(tmp_path: Path, plain: str, value: str) -> None:
    found = from_yaml(f"database:\n  url: {plain}\n", tmp_path)
    assert isinstance(found, Settings)
    assert found.database.url == value


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("count: 1\nhosts: [a", 2),
        ("count: 1\ncount: 2", 2),
        ("hosts:\n- a\n- !x b", 3),
        ("count: !!python/object/apply:os.system [x]", 1),
        ("count: 1\n? [a]\n: b", 2),
        ("1: a", 1),
        ("count: *nobody", 1),
        ("a: b: c", 1),
        ("\tcount: 1", 1),
        ("count: 1\n--- \ncount: 2", 2),
        ("<<: 5", 1),
        ("- a\n- b", 1),
        ("text", 1),
    ],
)
def test_what_is_broken_or_not_read_is_a_fault_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    [fault] = faults(yaml_file(path))
    assert fault.origin == f"{path}:{line}", fault


def test_values_that_do_not_fit_have_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("hosts:\n  - a\n  - 5\nservers:\n  - host: a\n  - port: 0\ncuont: 1\n")
    found = {fault.key: (fault.origin, fault.suggestion) for fault in faults(yaml_file(path))}
    assert found == {
        "hosts[1]": (f"{path}:3", ""),
        "servers[1].port": (f"{path}:6", ""),
        "cuont": (f"{path}:7", "count"),
    }


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, 9)]
    path = tmp_path / "x.yaml"
    path.write_text("\n".join(lines))
    [fault] = faults(yaml_file(path))
    assert "more than 100000 values" in fault.found


def test_deep_nesting_and_long_numbers_are_faults(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    for text in ("[" * 5000, "count: " + "1" * 5000):
        path.write_text(text)
        assert len(faults(yaml_file(path))) == 1


class _Dumper(yaml.SafeDumper):
    """Writes YAML 1.1, in which `0E0` is a text: to YAML 1.2 it is a number and is quoted if it is none."""


def _quoted_if_like_a_number(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if text[:1] in "+-.0123456789" else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_if_like_a_number)


@given(settings(st.one_of(leaves(), optionals())))
def test_settings_written_as_yaml_load_back_equal(one: Drawn) -> None:
    assert isinstance(one.hint, type)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.yaml"
        path.write_text(yaml.dump(one.plain, Dumper=_Dumper, allow_unicode=False), encoding="utf-8")
        assert load(one.hint, [yaml_file(path)]) == one.value


@given(st.text() | st.from_regex(r"([a-z&*!<\[\]{}:,'\"|>?%@#-]{1,4}[ \n]?){0,12}"))
def test_no_yaml_makes_it_raise_anything_else(text: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(Settings, [yaml_file(path)])
        except ConfigError:
            return


# Directories of secrets


def test_each_file_is_a_setting(tmp_path: Path) -> None:
    (tmp_path / "database__password").write_text("s3cret\n")
    (tmp_path / "COUNT").write_text("7")
    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "..data").mkdir()
    loaded = explain(Settings, [secrets_directory(tmp_path)])
    assert loaded.settings == Settings(Database(password=Secret("s3cret")), count=7)
    shown = {entry.key: (entry.shown, entry.origin) for entry in loaded.entries}
    assert shown["database.password"] == ("***", str(tmp_path / "database__password"))
    assert shown["count"] == ("***", str(tmp_path / "COUNT"))


def test_what_kubernetes_mounts_is_read_through_its_links(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "count").write_text("3")
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "count").symlink_to("..data/count")
    assert load(Settings, [secrets_directory(tmp_path)]).count == 3


def test_what_is_wrong_there_is_told_with_its_file_and_never_its_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    (tmp_path / "count").write_text("s3cret")
    (tmp_path / "database__pasword").write_text("s3cret")
    (tmp_path / "unrelated").write_text("s3cret")
    (tmp_path / "hosts").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        load(Settings, [secrets_directory(tmp_path)])
    found = {fault.origin: fault for fault in caught.value.faults}
    assert found[str(tmp_path / "count")].found == "***"
    assert found[str(tmp_path / "database__pasword")].suggestion == "DATABASE__PASSWORD"
    assert found[str(tmp_path / "hosts")].expected == "text in UTF-8"
    assert len(found) == 3
    assert "unrelated" in caplog.text
    assert "s3cret" not in str(caught.value) + caplog.text


def test_a_directory_that_is_missing_is_a_fault_where_it_is_needed(tmp_path: Path) -> None:
    assert load(Settings, [secrets_directory(tmp_path / "no", required=False)]) == Settings()
    [fault] = faults(secrets_directory(tmp_path / "no"))
    assert fault.found == "no such directory"
    (tmp_path / "file").write_text("x")
    assert len(faults(secrets_directory(tmp_path / "file"))) == 1
    assert len(faults(secrets_directory("\0"))) == 1


def test_two_files_for_one_setting_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "count").write_text("1")
    (tmp_path / "COUNT").write_text("2")
    [fault] = faults(secrets_directory(tmp_path))
    assert fault.expected == "one file for each setting"


# Items of lists


def by_variables(**variables_: str) -> Source:
    return environment("", variables=variables_)


def test_items_are_laid_over_the_list_of_an_earlier_source() -> None:
    below = mapping({"hosts": ["a", "b"], "servers": [{"host": "a", "port": 1}, {"port": 2}]})
    held = by_variables(HOSTS__1="B", HOSTS__2="C", SERVERS__0__PORT="7", SERVERS__2__HOST="new")
    assert load(Settings, [below, held]) == Settings(
        hosts=["a", "B", "C"], servers=(Server("a", 7), Server(port=2), Server("new"))
    )


def test_without_a_list_beneath_they_are_the_list() -> None:
    assert load(Settings, [by_variables(HOSTS__0="a", HOSTS__1="b")]).hosts == ["a", "b"]
    assert load(Settings, [by_variables(SERVERS__0__HOST="x")]).servers == (Server("x"),)


def test_a_gap_is_a_fault_and_so_is_the_whole_beside_its_items() -> None:
    [fault] = faults(by_variables(HOSTS__0="a", HOSTS__2="c"))
    assert (fault.key, fault.expected, fault.origin) == ("hosts[2]", "an item 1 before it", "HOSTS__2")
    [fault] = faults(by_variables(HOSTS="a,b", HOSTS__0="c"))
    assert (fault.origin, fault.expected) == ("HOSTS__0", "the whole of a list or table, or its items, not both")


def test_an_item_that_does_not_fit_names_its_variable() -> None:
    below = mapping({"servers": [{"host": "a"}]}, name="below")
    [fault] = faults(below, by_variables(SERVERS__0__PORT="0"))
    assert (fault.key, fault.origin, fault.found) == ("servers[0].port", "SERVERS__0__PORT", "'0'")
    [fault] = faults(below, by_variables(SERVERS__0__PROT="1"))
    assert (fault.key, fault.suggestion) == ("servers[0].prot", "port")
    [fault] = faults(mapping({"servers": [{"port": 0}]}, name="below"), by_variables(SERVERS__0__HOST="x"))
    assert fault.origin == "below"


def test_the_origin_of_a_list_is_that_of_what_was_laid_over_it() -> None:
    loaded = explain(Settings, [mapping({"hosts": ["a"]}, name="below"), by_variables(HOSTS__0="b")])
    assert {entry.key: entry.origin for entry in loaded.entries}["hosts"] == "HOSTS__0"


@given(st.lists(st.text("ab", max_size=2), max_size=4), st.dictionaries(st.integers(0, 5), st.text("cd", max_size=2)))
def test_items_over_a_list_are_what_replacing_them_is(below: list[str], items: dict[int, str]) -> None:
    expected = list(below)
    fits = True
    for place in sorted(items):
        if place < len(expected):
            expected[place] = items[place]
        elif place == len(expected):
            expected.append(items[place])
        else:
            fits = False
    held = by_variables(**{f"HOSTS__{place}": text for place, text in items.items()})
    if fits:
        assert load(Settings, [mapping({"hosts": below}), held]).hosts == expected
    else:
        assert faults(mapping({"hosts": below}), held)


# Sizes and URLs


NOTHING, SOMEWHERE = ByteSize(0), Url("https://x")


@dataclass(frozen=True)
class Sized:
    size: ByteSize = NOTHING
    url: Url = SOMEWHERE


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0), ("4096", 4096), ("10 MiB", 10 * 1024**2), ("10mib", 10 * 1024**2), ("1.5 GB", 1_500_000_000),
        ("2kB", 2000), ("10Mi", 10 * 1024**2), (" 1 B ", 1), ("0.5KiB", 512), ("1PiB", 1024**5),
    ],
)  # fmt: skip
def test_a_size_is_written_as_people_do(text: str, size: int) -> None:
    for source in (by_variables(SIZE=text), mapping({"size": text})):
        found = load(Sized, [source]).size
        assert found == size
        assert isinstance(found, ByteSize)
    assert load(Sized, [mapping({"size": size})]).size == size


@pytest.mark.parametrize("text", ["", "-1", "1 XB", "MiB", "1.5", "0.0001 KiB", "1e3", "\u0661", "1" * 100, "1 MiB 2"])
def test_what_is_no_size_is_a_fault(text: str) -> None:
    [fault] = faults(by_variables(SIZE=text), cls=Sized)
    assert fault.expected == "size in bytes, like 10 MiB or 4096"


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com", "postgresql://u:p@h:5432/x", "sqlite:///x.db", "redis://[::1]:6379/0", "unix:///run/x",
        "https://example.com/a?b=c#d", "http://localhost:8000",
    ],
)  # fmt: skip
def test_a_url_is_one(text: str) -> None:
    found = load(Sized, [by_variables(URL=text)]).url
    assert found == text
    assert isinstance(found, Url)


@pytest.mark.parametrize(
    "text",
    [
        "", "example.com", "https://", "https:///", "://x", "https://x:99999", "https://x:port", "https://a b", "1https://x",
        "https://[::1", "https://:80", "https://x\n", "mailto:a@b", "http://u:s3cret@:80/x", "http://u:s3cret@h:x/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_a_fault_that_shows_no_password(text: str) -> None:
    [fault] = faults(by_variables(URL=text), cls=Sized)
    assert fault.expected == "URL, like https://host/path"
    assert "s3cret" not in str(fault)


# All at once


def test_six_faults_of_six_sources_are_six(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"count": "x"}')
    (tmp_path / "b.toml").write_text("hosts = 5")
    (tmp_path / "c.yaml").write_text("database:\n  ulr: x")
    (tmp_path / ".env").write_text("SERVERS__0__PORT=0")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "database__url").write_bytes(b"\xff")
    found = faults(
        json_file(tmp_path / "a.json"),
        toml_file(tmp_path / "b.toml"),
        yaml_file(tmp_path / "c.yaml"),
        dotenv(tmp_path / ".env"),
        secrets_directory(tmp_path / "secrets"),
        toml_file(tmp_path / "missing.toml"),
    )
    assert len(found) == 6
    assert all(str(tmp_path) in fault.origin for fault in found)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: {b\n", "expected ',' or '}', but got '<stream end>'"),
        ("- a\nb: 1", "expected <block end>, but found '?'"),
        ("a: %hunter2", "character ... that cannot start any token"),
        ("a: *hunter2", "undefined alias ..."),
    ],
)
def test_a_fault_of_yaml_names_its_marks_and_nothing_of_the_file(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.yaml").write_text(text)

    [fault] = yaml_file(tmp_path / "a.yaml").read(()).faults

    assert (fault.expected, fault.found) == ("valid YAML", reason)
