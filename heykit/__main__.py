"""The command line: `python -m heykit check app:app`, `graph app:app` and `config app:configuration`.

Nothing is opened but, by `config`, the configuration.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NoReturn, TextIO, get_args

from fastapi import FastAPI

from heykit import wiring
from heykit._command import Target, TargetError, shown, target_of
from heykit._drawing import FORMS, draw
from heykit._faults import short_roots
from heykit._graph import Graph
from heykit._settings_shown import configuration_of, loaded, table
from heykit.compiled import uncompiled
from heykit.config.examples import Form, example
from heykit.errors import ConfigError, Fault, HeykitError

_TARGET: Final = "MODULE:ATTRIBUTE: a FastAPI application, a provider, or a function that returns an application"
_STATUS: Final = "status: 0 sound, 1 faults, 2 the target cannot be read"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    That is 0, or 1 where `check` or `config` finds a fault, or 2 where the target cannot be read. Raises `SystemExit`
    for `--help` (0) and for arguments that are no command (2).
    """
    given = _parser().parse_args(arguments)
    try:
        target = target_of(given.target)
    except TargetError as error:
        _say(f"heykit: {error}", sys.stderr)
        return 2
    if given.command == "config":
        return _config(target, given.example, given.prefix)
    graph = wiring.read(*target.roots)
    if given.command == "check":
        return _check(graph, target)
    _say(draw(graph, given.form).rstrip("\n"))
    return 0


def _check(graph: Graph, target: Target) -> int:
    faults = {*short_roots(target.opened), *wiring.check(graph)}
    for fault in sorted(faults, key=lambda fault: (fault.file, fault.line, fault.message)):
        _say(_line(fault))
    if not faults:
        count = len(graph.nodes)
        _say(f"{count} {'dependency' if count == 1 else 'dependencies'}, no fault")
        for app in target.roots:
            for path, reason in uncompiled(app).items() if isinstance(app, FastAPI) else ():
                _say(f"{path} is left to FastAPI: {reason}")
    return 1 if faults else 0


def _config(target: Target, form: Form | None, prefix: str) -> int:
    try:
        provider, settings = configuration_of(target)
        if form is not None:
            return _example(settings, form, prefix)
        entries = loaded(provider).entries
    except TargetError as error:
        _say(f"heykit: {error}", sys.stderr)
        return 2
    except HeykitError as error:
        cause = error.__cause__ if isinstance(error.__cause__, ConfigError) else error
        _say(str(cause))
        return 1
    _say(table(entries))
    return 0


def _example(settings: type[object], form: Form, prefix: str) -> int:
    try:
        text = example(settings, form, prefix=prefix)
    except TypeError as error:
        _say(f"heykit: {error}", sys.stderr)
        return 2
    if form == "env" and not prefix:
        _say("heykit: these names have no prefix: give that of the variables, such as --prefix HEYGEN_", sys.stderr)
    _say(text.rstrip("\n"))
    return 0


def _line(fault: Fault) -> str:
    return " ".join(str(replace(fault, file=shown(fault.file))).split())


def _say(text: str, stream: TextIO | None = None) -> None:
    """Write for a terminal or a pipe of any encoding: a letter it does not know becomes its number."""
    to = stream or sys.stdout
    encoding = to.encoding or "utf-8"
    to.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, as everything here does."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m heykit", description="Read the wiring of an application, or its settings.", epilog=_STATUS
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="check | graph | config")
    check = commands.add_parser(
        "check", help="print every fault of the wiring", description="Print every fault, a line each.", epilog=_STATUS
    )
    check.add_argument("target", metavar="app:app", help=_TARGET)
    graph = commands.add_parser(
        "graph", help="draw the wiring", description="Draw every dependency, by lifetime, and what it needs."
    )
    graph.add_argument("target", metavar="app:app", help=_TARGET)
    graph.add_argument("--form", choices=FORMS, default="mermaid", help="mermaid (the default), or dot for Graphviz")
    config = commands.add_parser(
        "config",
        help="show every setting, or write a template",
        description="Show every setting with its value (masked), where it came from, and what is expected.",
        epilog=_STATUS,
    )
    config.add_argument(
        "target", metavar="app:configuration", help="MODULE:ATTRIBUTE: a provider of a Loaded, or an app"
    )
    config.add_argument("--example", choices=get_args(Form), help="write a commented template of all settings instead")
    config.add_argument("--prefix", default="", help="the prefix of the variables in a template, such as HEYGEN_")
    return parser


if __name__ == "__main__":
    sys.exit(main())
