"""YAML's nodes as values of JSON's types, with the line of every key and item."""

from __future__ import annotations

import re
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from heykit.config.files import Broken, Lines
from heykit.config.protocol import Trail

# A few aliases of aliases are a file of gigabytes.
_MOST_VALUES = 100_000
# YAML 1.2.2, section 10.3.2: the core schema.
_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_ENDLESS = re.compile(r"[-+]?\.(?:inf|Inf|INF)")
_NAN = re.compile(r"\.(?:nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


_PLAIN = "plain"
_CORE = {
    f"{_TAG}int": (int,), f"{_TAG}float": (float, int), f"{_TAG}bool": (bool,), f"{_TAG}null": (type(None),),
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """Resolves nothing: it marks what is plain, and what that is is decided here."""

    yaml_implicit_resolvers = {None: [(_PLAIN, re.compile(""))]}  # noqa: RUF012 - PyYAML's name and kind


class _Refused(Exception):
    """A node that is no value."""

    def __init__(self, node: Node, reason: str) -> None:
        self.broken = Broken(node.start_mark.line + 1, reason)
        super().__init__(reason)


@dataclass
class _Reader:
    lines: dict[Trail, int] = field(default_factory=dict)
    values: int = 0

    def value(self, node: Node, trail: Trail) -> object:
        self.count(node)
        if isinstance(node, MappingNode):
            return self.table(node, trail)
        if isinstance(node, SequenceNode):
            return self.items(node, trail)
        assert isinstance(node, ScalarNode)
        return _scalar(node)

    def count(self, node: Node) -> None:
        self.values += 1
        if self.values > _MOST_VALUES:
            raise _Refused(node, f"more than {_MOST_VALUES} values")

    def table(self, node: MappingNode, trail: Trail, without: AbstractSet[str] = frozenset()) -> dict[str, object]:
        """Read a table, but for names that the one it is merged into has itself."""
        _expect_tag(node, "map")
        own: dict[str, tuple[Node, Node]] = {}
        merges: list[Node] = []
        for key, value in node.value:
            if _merges(key):
                merges.append(value)
                continue
            name = key.value if isinstance(key, ScalarNode) else None
            if name is None or not isinstance(_scalar(key), str):
                raise _Refused(key, "a key that is no text")
            if name in own:
                raise _Refused(key, "a key that stands twice")
            own[name] = key, value
        found = self.merged(merges, trail, without | own.keys())
        for name, (key, value) in own.items():
            if name in without:
                continue
            self.lines[*trail, name] = key.start_mark.line + 1
            found[name] = self.value(value, (*trail, name))
        return found

    def merged(self, values: Sequence[Node], trail: Trail, without: AbstractSet[str]) -> dict[str, object]:
        found: dict[str, object] = {}
        for each in [
            part for value in values for part in (value.value if isinstance(value, SequenceNode) else [value])
        ]:
            if not isinstance(each, MappingNode):
                raise _Refused(each, "a << of what is no table")
            self.count(each)
            found |= self.table(each, trail, without | found.keys())
        return found

    def items(self, node: SequenceNode, trail: Trail) -> list[object]:
        _expect_tag(node, "seq")
        found = []
        for at, item in enumerate(node.value):
            self.lines[*trail, at] = item.start_mark.line + 1
            found.append(self.value(item, (*trail, at)))
        return found


def read(text: str) -> tuple[object, Lines] | Broken:
    """Read one document, or say where it is broken."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        reader = _Reader()
        return ({} if node is None else reader.value(node, ())), reader.lines
    except _Refused as refused:
        return refused.broken
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return Broken(None if mark is None else mark.line + 1, _reason(error.problem))
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        return Broken(None, _rest(error))


def _rest(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "too deep a nesting"
    # Python refuses to read integers of more than some thousand digits.
    return "a character that no YAML has" if isinstance(error, yaml.YAMLError) else "too long a number, or no character"


def _merges(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.tag == _PLAIN


def _scalar(node: ScalarNode) -> object:
    text: str = node.value
    kind = _CORE.get(node.tag)
    if node.tag == _PLAIN or kind is not None:
        value = _plain(text)
        if kind is not None and type(value) not in kind:
            raise _Refused(node, "a tag that its value does not have")
        return value
    _expect_tag(node, "str")
    return text


def _plain(text: str) -> object:
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _ENDLESS.fullmatch(text):
        return float("-inf") if text.startswith("-") else float("inf")
    return float("nan") if _NAN.fullmatch(text) else text


def _expect_tag(node: Node, kind: str) -> None:
    if node.tag != _TAG + kind:
        raise _Refused(node, "a tag that is not read here")


def _reason(problem: str | None) -> str:
    problem = (problem or "").removeprefix("found ")
    # What stands in quotes is a part of the file, but where it is a mark of YAML or the name of one.
    if problem and re.fullmatch(r"(?:[^'\"]|'[,:?}\]-]'|'<[a-z ]+>')*", problem):
        return problem
    return re.sub(r"(['\"]).*\1", "...", problem) or "it cannot be read"
