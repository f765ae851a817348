"""Does what a factory gives satisfy what a parameter asks for? Where neither can be judged: silence."""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final, Protocol, TypeVar, Union, get_args, get_origin, is_typeddict

from heykit._needs import Dependency, signature_of, unaliased

_UNKNOWN = Any
_WRAPPED = (AsyncGenerator, AsyncIterator, AsyncIterable, Awaitable, Coroutine, AbstractAsyncContextManager)


def given_type(factory: Dependency) -> object:
    """Tell what a factory gives: the type its coroutine, generator or context manager wraps, else `Any`."""
    returned = signature_of(factory).return_annotation
    if returned is inspect.Signature.empty:
        return _UNKNOWN
    if inspect.iscoroutinefunction(factory):
        return returned
    origin, arguments = get_origin(returned), get_args(returned)
    if origin in _WRAPPED and arguments:
        return arguments[2] if origin is Coroutine else arguments[0]
    return _UNKNOWN


def mismatch(asked: object, given: object) -> str:
    """Say why `given` does not satisfy `asked`; empty where it does, or where nobody can tell."""
    asked, given = _plain(asked), _plain(given)
    if _silent(asked) or _silent(given):
        return ""
    if _is_union(given):
        return next(filter(None, (mismatch(asked, member) for member in get_args(given))), "")
    if _is_union(asked):
        reasons = [mismatch(member, given) for member in get_args(asked)]
        return "" if "" in reasons else f"which gives {_shown(given)}, not {_shown(asked)}"
    return _class_mismatch(asked, given)


def _class_mismatch(asked: object, given: object) -> str:
    wanted, found = get_origin(asked) or asked, get_origin(given) or given
    if not (isinstance(wanted, type) and isinstance(found, type)) or _is_beyond_classes(wanted, found):
        return ""
    if _is_protocol(wanted):
        missing = sorted(name for name in _members(wanted) if not hasattr(found, name))
        if missing:
            return f"which gives {_shown(given)}, without {', '.join(missing)} of {_shown(asked)}"
    elif not _is_nominal(wanted, found):
        return f"which gives {_shown(given)}, not {_shown(asked)}"
    return _arguments_mismatch(asked, given) if wanted is found else ""


def _is_beyond_classes(wanted: type, found: type) -> bool:
    """Tell where class and subclass are not the whole truth: typed dictionaries, `typing.IO`, subclasses of Any."""
    odd = is_typeddict(wanted) or is_typeddict(found) or wanted.__module__ == "typing"
    return odd or Any in found.__mro__ or issubclass(found, type | types.ModuleType)


def _is_nominal(wanted: type, found: type) -> bool:
    # Typing specification, "Special cases for float and complex"; and bytes once stood for its kin.
    promoted = {float: (int,), complex: (int, float), bytes: (bytearray, memoryview)}.get(wanted, ())
    return issubclass(found, (wanted, *promoted)) or _is_protocol(found)


def _arguments_mismatch(asked: object, given: object) -> str:
    for one, other in zip(get_args(asked), get_args(given), strict=False):
        # Variance is not known at run time: a difference is one only if neither would satisfy the other.
        if mismatch(one, other) and mismatch(other, one):
            return f"which gives {_shown(given)}, not {_shown(asked)}"
    return ""


def _plain(annotation: object) -> object:
    annotation = unaliased(annotation)
    while get_origin(annotation) is Annotated:
        annotation = unaliased(get_args(annotation)[0])
    return type(None) if annotation is None else annotation


def _silent(annotation: object) -> bool:
    return (
        annotation is Any
        or annotation is object
        or annotation is inspect.Parameter.empty
        or isinstance(annotation, str | TypeVar)
    )


def _is_union(annotation: object) -> bool:
    return get_origin(annotation) in {Union, types.UnionType}


def _is_protocol(found: type) -> bool:
    return Protocol in found.__mro__ and bool(getattr(found, "_is_protocol", False))


def _members(protocol: type) -> set[str]:
    """Name the methods and properties a Protocol asks for, inherited ones included.

    Plain attributes are not among them: a class that sets them in `__init__` does not show them.
    """
    names: set[str] = set()
    for base in protocol.__mro__[:-1]:
        if base.__module__ not in {"typing", "typing_extensions"} and _is_protocol(base):
            names.update(name for name, value in vars(base).items() if callable(value) or isinstance(value, property))
    return {name for name in names if name not in _OF_EVERY_CLASS}


# What a class statement itself puts into a Protocol.
_OF_EVERY_CLASS: Final = frozenset({"__init__", "__subclasshook__", "__class_getitem__", "__hash__", "__annotate__"})


def _shown(annotation: object) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
