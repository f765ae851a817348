"""JSON as pydantic reads and writes it, which is there with FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from heykit.errors import HttpError

T = TypeVar("T")
_MOST_SHOWN: Final = 5
_MOST_KNOWN: Final = 256


class Readers:
    """Reads JSON into types; what a type needs is built once."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._known: dict[object, Callable[[bytes], object]] = {}

    def read(self, body: bytes, into: type[T]) -> T:
        """Read JSON into a type. Raises HttpError, which says where it does not fit, and shows no value."""
        validate = self._known.get(into)
        if validate is None:
            if len(self._known) >= _MOST_KNOWN:  # types made at run time would fill the memory
                self._known.clear()
            validate = self._known[into] = TypeAdapter(into).validate_json
        try:
            return cast("T", validate(body))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            shown = "; ".join(f"{_place(fault['loc'])}: {fault['type']}" for fault in faults[:_MOST_SHOWN])
            name = getattr(into, "__name__", "the type")
            raise HttpError(f"{self._host} answered what does not fit {name}: {shown}", body=body) from None


def written(value: object) -> bytes:
    """Write JSON. Raises HttpError for what has no JSON."""
    try:
        return to_json(value, inf_nan_mode="strings")
    except (PydanticSerializationError, ValueError):
        raise HttpError(f"a {type(value).__name__} cannot be written as JSON: convert it first") from None


def _place(location: tuple[int | str, ...]) -> str:
    # A key of a dict is the server's own text; a field's name is ours, and so an identifier.
    return ".".join(str(part) if isinstance(part, int) or part.isidentifier() else "..." for part in location) or "it"
