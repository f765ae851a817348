"""Whether a value is parsed by its type alone: then it makes no difference when, or how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated, Any, Final, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

# The core schemas in which pydantic runs only its own code.
_OWN: Final = frozenset(
    {
        "any", "bool", "bytes", "complex", "dataclass", "dataclass-args", "dataclass-field", "date", "datetime",
        "decimal", "default", "definition-ref", "definitions", "dict", "enum", "float", "frozenset", "int", "json",
        "list", "literal", "model", "model-field", "model-fields", "multi-host-url", "none", "nullable", "set", "str",
        "tagged-union", "time", "timedelta", "tuple", "typed-dict", "typed-dict-field", "union", "url", "uuid",
    }
)  # fmt: skip
# Where they may keep code of the user's: of defaults, of models and dataclasses, of enums.
_HOOKS: Final = ("default_factory", "post_init", "custom_init", "missing")
_MADE: Final = frozenset({"model", "dataclass"})
_HASHED: Final = frozenset({"set", "frozenset"})


def is_pure(field: FieldInfo) -> bool:
    """Tell whether no code of the user's runs when a value of this field is made; where that cannot be seen, it may."""
    if field.default_factory is not None:
        return False
    kind = cast("Any", field.annotation)
    try:
        schema = TypeAdapter(Annotated[kind, *field.metadata] if field.metadata else kind).core_schema
        return not _runs_code(schema)
    except (PydanticUserError, TypeError, NameError):  # a name only type checkers know, too
        return False


def _runs_code(schema: object) -> bool:
    """Look for code of the user's anywhere in a core schema; serialization is another matter."""
    kinds: set[str] = set()
    waiting: list[object] = [schema]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            kind = current.get("type")
            if isinstance(kind, str):
                kinds.add(kind)
                if kind not in _OWN or any(map(current.get, _HOOKS)) or not _is_plain(current):
                    return True
            waiting.extend(value for key, value in current.items() if key not in {"serialization", "metadata", "cls"})
        elif isinstance(current, Iterable) and not isinstance(current, str | bytes):
            waiting.extend(current)
    # What is put into a set is asked for its hash.
    return not (kinds.isdisjoint(_HASHED) or kinds.isdisjoint(_MADE))


def _is_plain(schema: Mapping[str, Any]) -> bool:
    kind = schema["type"]
    if kind == "tagged-union":
        return isinstance(schema["discriminator"], str)
    if kind in _MADE:
        made: type[object] = schema["cls"]
        return made.__new__ is object.__new__ and type(made) in {type, type(BaseModel)}
    if kind == "default":
        return type(schema.get("default")).__module__ == "builtins" or isinstance(schema.get("default"), Enum)
    return True
