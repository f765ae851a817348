"""What a factory asks for: its parameters, read the way FastAPI reads them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, cast, get_args, get_origin

from fastapi import BackgroundTasks, Request, Response, WebSocket, params
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo
from starlette.background import BackgroundTasks as StarletteBackgroundTasks

Dependency = Callable[..., object]

PLACE: Final = "heykit_place"
"""The attribute that names what a function of ours stands in for: a message names the user's."""


class Asks(Enum):
    """What gives a parameter its value."""

    DEPENDENCY = "another dependency"
    CONNECTION = "the HTTP connection"
    REQUEST = "something FastAPI parses from the request"
    DEFAULT = "its default, or a query parameter of that name"
    FIXED = "its default, which no request could give"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Need:
    """One parameter of a factory. `annotation` is evaluated where it can be, and free of `Annotated`."""

    name: str
    annotation: object
    metadata: tuple[object, ...]
    default: object
    dependency: Dependency | None = None
    marker: params.Depends | None = None

    @functools.cached_property
    def asks(self) -> Asks:
        """Found out on demand: to learn whether FastAPI could parse a type costs building its schema."""
        if self.marker is not None:
            return Asks.NOTHING if self.dependency is None else Asks.DEPENDENCY
        return _asks(self)


def needs_of(factory: Dependency) -> tuple[Need, ...]:
    """Read the parameters of a factory or dependency function, in their order."""
    return tuple(_need(parameter) for parameter in signature_of(factory).parameters.values() if _is_asked(parameter))


def signature_of(factory: Dependency) -> inspect.Signature:
    """Read a signature with its annotations evaluated, each one that can be.

    A name known only to type checkers stays text: FastAPI accepts it where a `Depends` stands beside it.
    """
    try:
        return inspect.signature(factory, eval_str=True)
    except ValueError:
        return inspect.Signature()  # of a class or function in C nobody knows the parameters
    except NameError:
        names = getattr(inspect.unwrap(factory), "__globals__", {})
        signature = inspect.signature(factory)
        evaluated = [p.replace(annotation=_evaluated(p.annotation, names)) for p in signature.parameters.values()]
        returned = _evaluated(signature.return_annotation, names)
        return signature.replace(parameters=evaluated, return_annotation=returned)


def place_of(dependency: Dependency) -> tuple[str, int]:
    """Find file and line of a function: the line of its `def`, not of its first decorator."""
    plain = inspect.unwrap(getattr(dependency, PLACE, dependency))
    while isinstance(plain, functools.partial):
        plain = inspect.unwrap(plain.func)
    if not (inspect.isroutine(plain) or inspect.isclass(plain)):
        plain = type(plain)
    try:
        file = inspect.getsourcefile(plain) or "<unknown>"
        lines, first = inspect.getsourcelines(plain)
    except (OSError, TypeError):
        code = getattr(plain, "__code__", None)
        return (code.co_filename, code.co_firstlineno) if code is not None else ("<unknown>", 0)
    heads = ("def ", "async def ", "class ")
    return file, next((first + i for i, line in enumerate(lines) if line.lstrip().startswith(heads)), first)


def name_of(dependency: Dependency) -> str:
    return str(getattr(dependency, "__name__", type(dependency).__name__))


def _is_asked(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


def _evaluated(annotation: object, names: Mapping[str, object]) -> object:
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(names))  # noqa: S307 - the annotation of the user's own function
    except Exception:  # noqa: BLE001 - whatever it raises, it cannot be evaluated here
        return annotation


def _need(parameter: inspect.Parameter) -> Need:
    annotation, metadata = _without_annotated(parameter.annotation)
    marker = _marker(parameter.default, metadata)
    dependency = None if marker is None else marker.dependency
    if marker is not None and dependency is None and callable(annotation):
        dependency = annotation  # `Annotated[Thing, Depends()]` is short for `Depends(Thing)`
    return Need(parameter.name, annotation, metadata, parameter.default, dependency, marker)


def _without_annotated(annotation: object) -> tuple[object, tuple[object, ...]]:
    annotation = unaliased(annotation)
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        return inner, tuple(metadata)
    return annotation, ()


def unaliased(annotation: object) -> object:
    """Look through `type Name = ...` (PEP 695)."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = cast("Any", annotation).__value__
    return annotation


def _marker(default: object, metadata: tuple[object, ...]) -> params.Depends | None:
    found = [item for item in (*metadata, default) if isinstance(item, params.Depends)]
    return found[-1] if found else None


def _asks(need: Need) -> Asks:
    annotation = need.annotation
    if isinstance(annotation, type) and issubclass(annotation, HTTPConnection):
        return Asks.REQUEST if issubclass(annotation, Request | WebSocket) else Asks.CONNECTION
    if isinstance(annotation, type) and issubclass(annotation, _MADE_BY_FASTAPI):
        return Asks.REQUEST
    if any(isinstance(item, FieldInfo) for item in (*need.metadata, need.default)):
        return Asks.REQUEST
    if need.default is not inspect.Parameter.empty:
        return Asks.DEFAULT if _parsable(annotation) else Asks.FIXED
    return Asks.REQUEST if _parsable(annotation) else Asks.NOTHING


_MADE_BY_FASTAPI = (Response, BackgroundTasks, StarletteBackgroundTasks, SecurityScopes)


def _parsable(annotation: object) -> bool:
    """Tell whether FastAPI could read a value of this type from a request at all."""
    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return True
    try:
        TypeAdapter(cast("type[object]", annotation))
    except PydanticUserError:
        return False
    return True
