"""Whatever is written as variables, JSON or TOML loads back equal, and every line is found."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from heykit.config import (
    ConfigError,
    ConfigFault,
    Secret,
    Source,
    environment,
    explain,
    json_file,
    load,
    mapping,
    toml_file,
)
from heykit.config.json_lines import locate as json_lines
from heykit.config.toml_lines import locate as toml_lines
from tests.config.drawn import Drawn, flat, leaves, optionals, settings, variables
from tests.config.pages import json_page, toml_page

PLAIN = st.recursive(
    st.one_of(st.text(max_size=8), st.integers(), st.floats(allow_nan=False), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=8,
)
TABLES = st.dictionaries(st.text(max_size=5), PLAIN, max_size=4)


def written(text: str, suffix: str) -> Path:
    with tempfile.NamedTemporaryFile("wb", suffix=suffix, delete=False) as file:
        file.write(text.encode())
    return Path(file.name)


def kind(one: Drawn) -> type[object]:
    assert isinstance(one.hint, type)
    return one.hint


@given(settings(st.one_of(leaves(), optionals())))
def test_settings_written_as_a_mapping_load_back_equal(one: Drawn) -> None:
    assert isinstance(one.plain, dict)
    assert one.value == load(kind(one), [mapping(one.plain)])


@given(settings(st.one_of(leaves(), optionals())), st.sampled_from(["__", ".", "_X_"]))
def test_settings_written_as_variables_load_back_equal(one: Drawn, separator: str) -> None:
    held = {name.replace("__", separator): value for name, value in flat(one).items()}
    source = environment("APP_", separator=separator, unknown="fault", variables=variables(held, "APP_"))

    assert one.value == load(kind(one), [source])


@given(settings(st.one_of(leaves(), optionals())), st.data())
def test_settings_written_as_json_load_back_equal(one: Drawn, data: st.DataObject) -> None:
    path = written(json_page(data, one.plain).text, ".json")
    try:
        assert one.value == load(kind(one), [json_file(path)])
    finally:
        path.unlink()


@given(settings(leaves()), st.data())
def test_settings_written_as_toml_load_back_equal_and_every_origin_is_its_line(one: Drawn, data: st.DataObject) -> None:
    assert isinstance(one.plain, dict)
    page = toml_page(data, one.plain)
    path = written(page.text, ".toml")
    try:
        loaded = explain(kind(one), [toml_file(path)])
    finally:
        path.unlink()
    assert one.value == loaded.settings
    for entry in loaded.entries:
        assert f"{path}:{page.lines[tuple(entry.key.split('.'))]}" == entry.origin


@given(TABLES, st.data())
def test_the_line_of_every_json_key_and_item_is_found(values: dict[str, object], data: st.DataObject) -> None:
    page = json_page(data, values)

    assert values == json.loads(page.text)
    assert page.lines == json_lines(page.text)


@given(TABLES, st.data())
def test_the_line_of_every_toml_key_and_item_is_found(values: dict[str, object], data: st.DataObject) -> None:
    page = toml_page(data, values)

    assert values == tomllib.loads(page.text)
    assert page.lines == toml_lines(page.text)


def test_toml_lines_where_the_grammar_is_hard() -> None:
    text = (
        '''# a comment with "quotes" and [brackets]
title = """
[not.a.table]
quotes: ""\\""" # still text""""
"a.b"."c" = 1979-05-27 07:32:00.5
site.'x y' = -1.5e3
numbers = [ 1, # one ]
  [2,
   3], {
'''.replace("{\n", "{ a.b = 1, c = [\n5] } ]\n")
        + """
[[fruit]]
name = 'apple'
[fruit.physical]
colour = "red"
[[fruit.kinds]]
name = "a"
[[fruit.kinds]]
name = "b"
[[fruit]]
[[fruit.kinds]]
name = '''
'''
[ fruit . "deep" ]
last = true
[late.parent]
x = 1
[late]
y = 2"""
    )
    tomllib.loads(text)
    lines = toml_lines(text)

    expected = {
        ("title",): 2,
        ("a.b", "c"): 5,
        ("site", "x y"): 6,
        ("numbers",): 7,
        ("numbers", 0): 7,
        ("numbers", 1): 8,
        ("numbers", 1, 1): 9,
        ("numbers", 2): 9,
        ("numbers", 2, "a", "b"): 9,
        ("numbers", 2, "c", 0): 10,
        ("fruit", 0): 12,
        ("fruit", 0, "name"): 13,
        ("fruit", 0, "physical", "colour"): 15,
        ("fruit", 0, "kinds", 0, "name"): 17,
        ("fruit", 0, "kinds", 1, "name"): 19,
        ("fruit", 1): 20,
        ("fruit", 1, "kinds", 0, "name"): 22,
        ("fruit", 1, "deep", "last"): 25,
        ("late", "parent", "x"): 27,
        ("late",): 28,
        ("late", "y"): 29,
    }
    assert expected == {trail: lines.get(trail) for trail in expected}


@dataclass(frozen=True)
class Anything:
    text: str | None = None
    numbers: tuple[int, ...] = ()
    limits: dict[str, float] | None = None
    key: Secret[str] | None = None


FRAGMENTS = st.lists(
    st.one_of(
        st.sampled_from(
            [*'{}[],:="#\\.\n\r\t\x00\ufeff', "'''", '"""', "text", "numbers", "limits", "key", "[[", "]]"]
        ),
        st.sampled_from(
            ["1", "1e999", "nan", "null", "true", "\ud800", "\\ud800", "1979-13-01", "9" * 5000, "[" * 9000]
        ),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)


def faults(source: Source) -> Sequence[ConfigFault]:
    try:
        explain(Anything, [source])
    except ConfigError as error:
        return error.faults
    return ()


CONTENTS = st.one_of(FRAGMENTS, st.text()).map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary()


@given(CONTENTS)
def test_no_content_of_a_file_raises_anything_but_a_config_error(content: bytes) -> None:
    path = written("", ".any")
    try:
        path.write_bytes(content)
        found = [*faults(json_file(path)), *faults(toml_file(path))]
    finally:
        path.unlink()
    assert all(fault.origin.startswith(str(path)) for fault in found)


@given(st.dictionaries(st.sampled_from(["TEXT", "NUMBERS", "LIMITS", "KEY", "TXT", "text"]), FRAGMENTS))
def test_no_text_in_a_variable_raises_anything_but_a_config_error(held: dict[str, str]) -> None:
    found = faults(environment("X_", variables={f"X_{name}": text for name, text in held.items()}))

    assert all(fault.origin.startswith("X_") for fault in found)


@given(TABLES, st.sampled_from(["text", "numbers", "limits", "key"]))
def test_no_value_in_a_mapping_raises_anything_but_a_config_error(values: dict[str, object], name: str) -> None:
    assert all(fault.origin == "mapping" for fault in faults(mapping({**values, name: values})))
