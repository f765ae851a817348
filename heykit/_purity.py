"""Whether a value is parsed by its type alone: then it makes no difference when, or how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, cast

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

# Where a schema keeps code besides functions: of defaults, of models and dataclasses, of enums.
_HOOKS = ("default_factory", "post_init", "custom_init", "missing")


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
    """Look for a function anywhere in a core schema; serialization is another matter."""
    waiting: list[object] = [schema]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Mapping):
            if str(current.get("type", "")).startswith(("function-", "call")) or any(map(current.get, _HOOKS)):
                return True
            waiting.extend(value for key, value in current.items() if key not in {"serialization", "metadata", "cls"})
        elif isinstance(current, Iterable) and not isinstance(current, str | bytes):
            waiting.extend(current)
    return False
