"""The key of a call: from its bound arguments, by type and value, so that no two different calls share one.

`f(1)` and `f(a=1)` are one call; `1`, `True`, `1.0` and `"1"` are four. A value is written as an expression that reads
back as that value alone: quoted strings, balanced brackets, the type before what is not a literal.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from functools import partial
from hashlib import sha256
from types import MappingProxyType
from typing import ParamSpec
from uuid import UUID
from zoneinfo import ZoneInfo

P = ParamSpec("P")

# Longer keys are cut to their digest, so that what a client sends does not decide how much memory a key takes.
_LONGEST = 250


def call_keys(function: Callable[P, object]) -> Callable[P, str]:
    """Build the function that gives the key of a call of `function`.

    Raises TypeError for a function without a name of its own; the built one for arguments that do not fit the
    signature or cannot be part of a key.
    """
    name = _name(function)
    signature = inspect.signature(function)
    if next(iter(signature.parameters), "") in {"self", "cls"}:
        raise TypeError(
            f"{name} is not bound: in `__init__` write `self.get = cached(cache)(self._get)`, or give `key=`"
        )

    parameters = signature.parameters
    plain = all(each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD} for each in parameters.values())

    def values(*args: P.args, **kwargs: P.kwargs) -> Iterable[object]:
        if plain and not kwargs and len(args) == len(parameters):
            return args  # what binding would give, ten times faster
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments.values()

    def key(*args: P.args, **kwargs: P.kwargs) -> str:
        written = map(partial(_argument, name), parameters.values(), values(*args, **kwargs))
        return _shortened(name, f"{name}({', '.join(written)})")

    return key


def _name(function: Callable[..., object]) -> str:
    name = getattr(function, "__qualname__", None)
    # Two lambdas of one function have the same name and would read each other's values.
    if not isinstance(name, str) or name.endswith("<lambda>"):
        raise TypeError(f"{function!r} has no name of its own for its keys: use a named function or give `key=`")
    return f"{function.__module__}.{name}"


def _shortened(name: str, key: str) -> str:
    if len(key) <= _LONGEST:
        return key
    return f"{name}#{sha256(key.encode()).hexdigest()}"


def _argument(function: str, parameter: inspect.Parameter, value: object) -> str:
    try:
        if parameter.kind is parameter.VAR_KEYWORD and isinstance(value, dict):
            return f"{{{', '.join(sorted(f'{name!r}: {_written(each)}' for name, each in value.items()))}}}"
        return _written(value)
    except _NotWritableError as error:
        raise TypeError(
            f"{function}: `{parameter.name}` holds a {error}, which cannot be part of a key; pass None, str, bytes, "
            "numbers, enum members, UUIDs, dates, or tuples, frozensets and frozen dataclasses of these, or give "
            "`key=` a function that builds the key"
        ) from None


class _NotWritableError(Exception):
    """Its text is the name of the type that is in the way."""


def _written(value: object) -> str:
    write = _WRITERS.get(type(value))
    if write is not None:
        return write(value)
    if isinstance(value, Enum):
        # Members of a Flag that are combinations may have no name; their values are numbers.
        return f"{_type(value)}[{_written(value.value) if isinstance(value, Flag) else repr(value.name)}]"
    if is_dataclass(value) and getattr(vars(type(value)).get("__dataclass_params__"), "frozen", False):
        return f"{_type(value)}({', '.join(_written(getattr(value, field.name)) for field in fields(value))})"
    raise _NotWritableError(type(value).__qualname__)


def _type(value: object) -> str:
    return repr(f"{type(value).__module__}.{type(value).__qualname__}")


def _tuple(value: tuple[object, ...]) -> str:
    return f"({''.join(f'{_written(each)},' for each in value)})"


def _frozenset(value: frozenset[object]) -> str:
    return f"{{{''.join(sorted(f'{_written(each)},' for each in value))}}}"


def _int(value: int) -> str:
    # Python refuses to write very long numbers in decimal.
    return repr(value) if value.bit_length() < 1024 else hex(value)


def _clocked(value: datetime | time) -> str:
    zone = value.tzinfo
    if zone is None or type(zone) is timezone or (type(zone) is ZoneInfo and zone.key):
        return repr(value)
    raise _NotWritableError(f"{type(value).__qualname__} with a {type(zone).__qualname__}")


_WRITERS: Mapping[type, Callable[..., str]] = MappingProxyType(
    {
        **dict.fromkeys((type(None), bool, float, str, bytes, Decimal, date, timedelta, UUID), repr),
        int: _int,
        datetime: _clocked,
        time: _clocked,
        tuple: _tuple,
        frozenset: _frozenset,
    }
)
