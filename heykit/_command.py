"""What a command is told to read: `module:attribute` becomes an application or a provider, or a line on why not."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import cast

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Router

from heykit._provider import Provider


class TargetError(Exception):
    """What was named cannot be read; the text is one line, and says what to do."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to read: an application or a provider, with the providers that its lifespan names.

    `opened` are those that `lifespan_with` opens.
    """

    roots: tuple[FastAPI | Provider[object], ...]
    opened: tuple[Provider[object], ...] = ()


def target_of(text: str) -> Target:
    """Import what is named, from the current directory as well.

    Raises `TargetError`. What the module prints while it is imported goes to stderr.
    """
    module, attribute = _split(text)
    with _importable(Path.cwd()), redirect_stdout(sys.stderr):
        found = _unwrapped(_attribute(_module(module), attribute))
        if isinstance(found, Provider):
            return Target((found,))
        return _application(_made(text, found) if _is_factory(found) else found, text)


def _split(text: str) -> tuple[str, str]:
    module, colon, attribute = text.partition(":")
    if not colon:
        raise TargetError(f"{text!r}: name the module and the attribute, as in app:app")
    if module.endswith(".py") or "/" in module or "\\" in module:
        dotted = ".".join(Path(module.replace("\\", "/")).with_suffix("").parts).strip("./")
        raise TargetError(f"{text!r}: name the module as an import does, as in {dotted}:{attribute or 'app'}")
    if not all(part.isidentifier() for part in (*module.split("."), *attribute.split("."))):
        raise TargetError(f"{text!r}: this is no module:attribute, as in app:app")
    return module, attribute


@contextmanager
def _importable(directory: Path) -> Generator[None]:
    before = list(sys.path)
    if str(directory) not in before:
        sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path[:] = before


def _module(name: str) -> ModuleType:
    try:
        with _blaming(f"{name} cannot be imported"):
            return importlib.import_module(name)
    except TargetError as error:
        missing = error.__cause__.name if isinstance(error.__cause__, ModuleNotFoundError) else None
        if missing is None or not f"{name}.".startswith(f"{missing}."):
            raise  # the module is there, and what it imports is not
        raise TargetError(f"there is no module {missing}{_nearest(missing, _modules_beside(missing))}") from error


def _modules_beside(name: str) -> Iterator[str]:
    parent = name.rpartition(".")[0]
    paths = getattr(sys.modules.get(parent), "__path__", ()) if parent else [str(Path.cwd())]
    yield from (f"{parent}.{found.name}".lstrip(".") for found in pkgutil.iter_modules(paths))


def _attribute(module: ModuleType, dotted: str) -> object:
    found: object = module
    path = module.__name__
    for name in dotted.split("."):
        with _blaming(f"{path}.{name} cannot be read"):
            if not hasattr(found, name):
                raise TargetError(f"{path} has no {name}{_nearest(name, dir(found))}")
            found = getattr(found, name)
        path = f"{path}.{name}"
    return found


def _unwrapped(found: object) -> object:
    """Look through middleware, which keeps what it wraps as `app`."""
    while callable(found) and not isinstance(found, Starlette | Router | Provider) and hasattr(found, "app"):
        found = found.app
    return found


def _is_factory(found: object) -> bool:
    return inspect.isroutine(found) or isinstance(found, functools.partial)


def _made(text: str, factory: object) -> object:
    make = cast("Callable[[], object]", factory)
    if inspect.iscoroutinefunction(make) or inspect.isasyncgenfunction(make):
        raise TargetError(f"{text} is async: name an application, or a plain function that returns one")
    with suppress(ValueError):  # a builtin may have no signature
        try:
            inspect.signature(make).bind()
        except TypeError as error:
            raise TargetError(f"{text} is called without arguments: {error}; give it a default") from error
    with _blaming(f"{text} makes no application"):
        return make()


def _application(found: object, text: str) -> Target:
    if not isinstance(found, FastAPI):
        what = "a module" if isinstance(found, ModuleType) else f"of type {type(found).__name__}"
        raise TargetError(
            f"{text} is {what}: name a FastAPI application, a provider, or a function that returns an application"
        )
    opened, named = _lifespan_providers(found.router.lifespan_context)
    return Target((found, *dict.fromkeys([*opened, *named])), opened)


def _lifespan_providers(lifespan: object) -> tuple[tuple[Provider[object], ...], tuple[Provider[object], ...]]:
    """Find the providers of every `lifespan_with(...)` in a lifespan, and those that its functions name themselves.

    FastAPI merges the lifespans of the routers it includes, so that each stands in the closure of a function.
    """
    opened: list[Provider[object]] = []
    named: list[Provider[object]] = []
    waiting, seen = [lifespan], list[object]()
    while waiting:
        current = waiting.pop()
        if any(current is known for known in seen):
            continue
        seen.append(current)
        opened.extend(_marked(current))
        enclosed, around = _held_by(current)
        waiting.extend(enclosed)
        named.extend(value for value in (*enclosed, *around) if isinstance(value, Provider))
        opened.extend(provider for value in around for provider in _marked(value))
    return tuple(dict.fromkeys(opened)), tuple(dict.fromkeys(named))


def _marked(value: object) -> Iterator[Provider[object]]:
    marked = getattr(value, "heykit_providers", ())
    yield from (provider for provider in marked if isinstance(provider, Provider))


def _held_by(value: object) -> tuple[list[object], list[object]]:
    """List what a function's closure holds, and the globals it names."""
    function = inspect.unwrap(value) if inspect.isfunction(value) else value
    if not inspect.isfunction(function):
        return [], []
    try:
        found = inspect.getclosurevars(function)
    except ValueError:  # a variable of its closure has no value yet
        return [], []
    return list(found.nonlocals.values()), list(found.globals.values())


# ----------------------------------------------------------------------------------------------------------- in a line


@contextmanager
def _blaming(what: str) -> Generator[None]:
    """Turn whatever the user's own code raises into one line: its last, and where that was."""
    try:
        yield
    except TargetError:
        raise
    except (Exception, SystemExit) as error:
        raise TargetError(f"{what}: {_last_line(error)}{_place(error)}") from error


def _last_line(error: BaseException) -> str:
    """Say what a traceback says at its end; what stands there on several lines is joined."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return " ".join("".join(traceback.format_exception_only(error)).split())


def _place(error: BaseException) -> str:
    """Tell where it was raised, in the user's own files if it was beneath them."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({shown(error.filename)}:{error.lineno})"
    passed = (__file__, "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(passed)]
    own = [frame for frame in frames if _is_own(frame.filename)]
    return "".join(f" ({shown(frame.filename)}:{frame.lineno})" for frame in (own or frames)[-1:])


def shown(file: str) -> str:
    """Name a file from the current directory where it is beneath it."""
    here = Path.cwd()
    return str(Path(file).relative_to(here)) if Path(file).is_relative_to(here) else file


def _is_own(file: str) -> bool:
    return not Path(shown(file)).is_absolute() and "site-packages" not in file


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f": did you mean {near[0]}?" if near else ""
