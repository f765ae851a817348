"""The annotations of a class, resolved, also those that name classes defined inside a function."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import get_type_hints


def hints(cls: type[object]) -> Mapping[str, object]:
    """Resolve the annotations of `cls`; a name that its module lacks is looked up in the calling functions.

    Raises `TypeError` for a name that is nowhere.
    """
    known: dict[str, object] = {}
    while True:
        try:
            # With no names of our own `get_type_hints` also looks into the class itself.
            return get_type_hints(cls, localns=known or None, include_extras=True)
        except NameError as error:
            name = error.name or str(error)
        if name in known:
            raise TypeError(_unknown(cls, name))
        known[name] = _found(cls, name)


def _found(cls: type[object], name: str) -> object:
    for names in (vars(cls), *(frame.f_locals for frame in _frames())):
        if name in names:
            return names[name]
    raise TypeError(_unknown(cls, name))


def _unknown(cls: type[object], name: str) -> str:
    return f"{cls.__qualname__} has an annotation with the name {name}, which is not defined: import it at run time"


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.currentframe() is the same and costs its import
    while frame is not None:
        if frame.f_globals.get("__package__") != __package__:
            yield frame
        frame = frame.f_back
