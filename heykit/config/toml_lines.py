"""Where the keys of a TOML file stand: `tomllib` gives the values, this the lines.

Only for a text that `tomllib` has read: it checks nothing. One function for each rule of the grammar (TOML 1.0).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from heykit.config.files import Lines
from heykit.config.protocol import Trail

# Up to two quotes may stand right before the three that close a multi-line string (TOML 1.0, "String").
_TOKEN = re.compile(
    r'''
      (?P<string> """(?:\\.|[^\\])*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:'{0,2}) | "(?:\\.|[^"\\])*" | '[^']*' )
    | (?P<comment> \#[^\n]* )
    | (?P<newline> \n )
    | (?P<mark> [\[\]{},=.] )
    | (?P<word> [^\s\[\]{},=.\#"']+ )
    ''',
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int


@dataclass(slots=True)
class _Reader:
    tokens: list[_Token]
    at: int = 0
    lines: dict[Trail, int] = field(default_factory=dict)
    lengths: dict[Trail, int] = field(default_factory=dict)
    """How many tables each array of tables has so far."""

    def document(self) -> None:
        table: Trail = ()
        while self.at < len(self.tokens):
            if self.now.kind == "newline":
                self.at += 1
            elif self.now.text == "[":
                table = self.header()
            else:
                self.pair(table)

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def skip(self, mark: str) -> bool:
        """Step over a mark if it comes next."""
        here = self.at < len(self.tokens) and self.now.kind == "mark" and self.now.text == mark
        self.at += here
        return here

    def lay(self) -> None:
        """Step over the line ends inside an array."""
        while self.now.kind == "newline":
            self.at += 1

    def header(self) -> Trail:
        line = self.take().line
        array = self.skip("[")
        table: Trail = ()
        for name in self.key():
            # A name of an array of tables stands for the table written last (TOML 1.0, "Array of Tables").
            table = (*self.last(table), name)
            self.lines.setdefault(table, line)
        if array:
            self.lengths[table] = self.lengths.get(table, 0) + 1
        table = self.last(table)
        self.lines[table] = line
        self.skip("]")
        self.skip("]")
        return table

    def last(self, table: Trail) -> Trail:
        return (*table, self.lengths[table] - 1) if table in self.lengths else table

    def key(self) -> list[str]:
        names = [_name(self.take())]
        while self.skip("."):
            names.append(_name(self.take()))
        return names

    def pair(self, table: Trail) -> None:
        line = self.now.line
        for name in self.key():
            table = (*table, name)
            self.lines.setdefault(table, line)
        self.skip("=")
        self.value(table)

    def value(self, trail: Trail) -> None:
        if self.skip("["):
            self.array(trail)
        elif self.skip("{"):
            self.inline_table(trail)
        else:
            # A number or a date may be of several words and dots.
            while self.at < len(self.tokens) and (self.now.kind in ("string", "word") or self.now.text == "."):
                self.at += 1

    def array(self, trail: Trail) -> None:
        index = 0
        self.lay()
        while not self.skip("]"):
            self.lines[*trail, index] = self.now.line
            self.value((*trail, index))
            self.lay()
            self.skip(",")
            self.lay()
            index += 1

    def inline_table(self, trail: Trail) -> None:
        self.lay()
        while not self.skip("}"):
            self.pair(trail)
            self.lay()
            self.skip(",")
            self.lay()


def locate(text: str) -> Lines:
    """Find the line of every key, table and item of an array in a text that is valid TOML."""
    reader = _Reader(_tokens(text))
    reader.document()
    return reader.lines


def _tokens(text: str) -> list[_Token]:
    tokens = []
    line, last = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", last, match.start())
        last = match.start()
        if match.lastgroup != "comment":
            tokens.append(_Token(match.lastgroup or "", match[0], line))
    return tokens


def _name(token: _Token) -> str:
    if token.text.startswith("'"):
        return token.text[1:-1]
    if token.text.startswith('"'):
        import tomllib

        return str(tomllib.loads(f"name = {token.text}")["name"])
    return token.text
