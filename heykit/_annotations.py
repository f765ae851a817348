"""Does what a factory gives satisfy what a parameter asks for? Where neither can be judged: silence."""

from __future__ import annotations

import inspect
import types
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Protocol, TypeVar, Union, get_args, get_origin

from heykit._needs import Dependency, signature_of

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
    if not (isinstance(wanted, type) and isinstance(found, type)):
        return ""
    if _is_protocol(wanted):
        missing = sorted(name for name in _members(wanted) if not _has(found, name))
        if missing:
            return f"which gives {_shown(given)}, without {', '.join(missing)} of {_shown(asked)}"
    elif not _is_nominal(wanted, found):
        return f"which gives {_shown(given)}, not {_shown(asked)}"
    return _arguments_mismatch(asked, given) if wanted is found else ""


def _is_nominal(wanted: type, found: type) -> bool:
    # PEP 484, "The numeric tower": an int is acceptable where a float is asked for.
    return issubclass(found, wanted) or (wanted is float and found is int) or _is_protocol(found)


def _arguments_mismatch(asked: object, given: object) -> str:
    for one, other in zip(get_args(asked), get_args(given), strict=False):
        # Variance is not known at run time: a difference is one only if neither would satisfy the other.
        if mismatch(one, other) and mismatch(other, one):
            return f"which gives {_shown(given)}, not {_shown(asked)}"
    return ""


def _plain(annotation: object) -> object:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
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
    """Name what a Protocol asks for, inherited members included."""
    names: set[str] = set()
    for base in protocol.__mro__[:-1]:
        if base.__module__ not in {"typing", "typing_extensions"} and _is_protocol(base):
            names.update(vars(base), vars(base).get("__annotations__", {}))
    return names - _OF_EVERY_CLASS


# What a class statement itself puts into a Protocol.
_OF_EVERY_CLASS = frozenset(
    {
        "__abstractmethods__", "__annotations__", "__dict__", "__doc__", "__firstlineno__", "__init__", "__module__",
        "__orig_bases__", "__parameters__", "__slots__", "__static_attributes__", "__subclasshook__", "__weakref__",
        "__protocol_attrs__", "__non_callable_proto_members__", "__callable_proto_members_only__", "__type_params__",
        "__match_args__", "__hash__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__classcell__",
        "_abc_impl", "_is_protocol", "_is_runtime_protocol",
    }
)  # fmt: skip


def _has(found: type, name: str) -> bool:
    return hasattr(found, name) or any(name in vars(base).get("__annotations__", {}) for base in found.__mro__)


def _shown(annotation: object) -> str:
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "")
