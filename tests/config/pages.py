"""JSON and TOML written in drawn styles, with the line of every key and item noted in the writing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import strategies as st

from heykit.config import Trail


@dataclass
class Page:
    """A text in the writing, which notes the line of every key and item."""

    data: st.DataObject
    text: str = ""
    lines: dict[Trail, int] = field(default_factory=dict)

    def note(self, trail: Trail) -> None:
        self.lines[trail] = self.text.count("\n") + 1

    def add(self, *choices: str) -> None:
        self.text += choices[0] if len(choices) == 1 else self.data.draw(st.sampled_from(choices))


def json_page(data: st.DataObject, value: object) -> Page:
    page = Page(data)
    _json(page, value, ())
    _gap(page)
    return page


def _gap(page: Page) -> None:
    page.add("", " ", "\n", "\t\r\n\n")


def _json(page: Page, value: object, trail: Trail) -> None:
    if isinstance(value, dict):
        page.add("{")
        for at, (name, item) in enumerate(value.items()):
            page.add("," if at else "")
            _gap(page)
            page.note((*trail, name))
            page.add(json.dumps(name, ensure_ascii=page.data.draw(st.booleans())))
            _gap(page)
            page.add(":")
            _gap(page)
            _json(page, item, (*trail, name))
            _gap(page)
        page.add("}")
    elif isinstance(value, list):
        page.add("[")
        for at, item in enumerate(value):
            page.add("," if at else "")
            _gap(page)
            page.note((*trail, at))
            _json(page, item, (*trail, at))
            _gap(page)
        page.add("]")
    else:
        page.add(json.dumps(value, ensure_ascii=page.data.draw(st.booleans())))


def toml_page(data: st.DataObject, value: Mapping[str, object]) -> Page:
    page = Page(data)
    _rest(page)
    _table(page, value, (), ())
    return page


def _rest(page: Page) -> None:
    """End a line, perhaps with a comment or more lines."""
    page.add("\n", "\n\n", ' # "[x]" = {\n', "\r\n")


def _table(page: Page, table: Mapping[str, object], trail: Trail, dots: tuple[str, ...]) -> None:
    """Write what fits on lines of its own first: what follows a header belongs to it."""
    later = []
    for name, value in table.items():
        here, keys = (*trail, name), (*dots, name)
        style = page.data.draw(st.sampled_from(_styles(value, dots)))
        if style == "header":
            later.append((here, value))
            continue
        page.note(here)
        if style == "dotted" and isinstance(value, dict):
            _table(page, value, here, keys)
            continue
        page.add(".".join(_toml_key(page, key) for key in keys))
        page.add("=", " = ", "\t=")
        _toml(page, value, here)
        _rest(page)
    for here, value in later:
        _headed(page, here, value)


def _styles(value: object, dots: tuple[str, ...]) -> list[str]:
    if dots:
        return ["plain"]
    if isinstance(value, dict):
        return ["plain", "header", "dotted"] if value else ["plain", "header"]
    tables = isinstance(value, list) and value and all(isinstance(item, dict) for item in value)
    return ["plain", "header"] if tables else ["plain"]


def _headed(page: Page, here: Trail, value: object) -> None:
    page.note(here)
    name = ".".join(_toml_key(page, step) for step in here if isinstance(step, str))
    if isinstance(value, dict):
        page.add(f"[{name}]")
        _rest(page)
        _table(page, value, here, ())
    elif isinstance(value, list):
        for at, part in enumerate(value):
            page.note((*here, at))
            page.add(f"[[ {name} ]]")
            _rest(page)
            _table(page, part, (*here, at), ())


def _toml_key(page: Page, name: str) -> str:
    bare = name != "" and name.isascii() and name.replace("-", "").replace("_", "").isalnum()
    literal = name.isprintable() and "'" not in name
    choices = [_toml_text(name)] + [name] * bare + [f"'{name}'"] * literal
    return page.data.draw(st.sampled_from(choices))


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml(page: Page, value: object, trail: Trail) -> None:
    match value:
        case dict():
            page.add("{")
            for at, (name, item) in enumerate(value.items()):
                page.add(", " if at else "")
                page.note((*trail, name))
                page.add(_toml_key(page, name) + " = ")
                _toml(page, item, (*trail, name))
            page.add("}")
        case list():
            page.add("[")
            for at, item in enumerate(value):
                page.add("", "\n", " # , ]\n")
                page.note((*trail, at))
                _toml(page, item, (*trail, at))
                page.add(",", "\n ,") if at < len(value) - 1 else page.add("", ",", "\n,\n")
            page.add("]", " ]")
        case str():
            _toml_string(page, value)
        case bool():
            page.add(str(value).lower())
        case _:
            page.add(repr(value))


def _toml_string(page: Page, text: str) -> None:
    choices = [_toml_text(text), f'"""\n{_toml_text(text)[1:-1]}"""']
    if text.isprintable() and "'" not in text:
        choices += [f"'{text}'", f"'''{text}'''"]
    page.add(*choices)
