"""JSON as pydantic reads and writes it, which is there with FastAPI."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema
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

    def reader(self, into: type[T]) -> Callable[[bytes], T]:
        """Make what reads JSON into a type. Raises what pydantic raises for a type it cannot read."""
        try:
            known = self._known.get(into)
        except TypeError:  # what has no hash is built each time
            return self._made(into)
        if known is None:
            if len(self._known) >= _MOST_KNOWN:  # types made at run time would fill the memory
                self._known.clear()
            known = self._known[into] = self._made(into)
        return cast("Callable[[bytes], T]", known)

    def _made(self, into: type[T]) -> Callable[[bytes], T]:
        adapter: TypeAdapter[T] = TypeAdapter(into)

        def read(body: bytes) -> T:
            """Raises HttpError, which says where it does not fit, and shows no value."""
            try:
                return adapter.validate_json(body)
            except ValidationError as error:
                faults = error.errors(include_url=False, include_context=False, include_input=False)
            ours = _names(adapter)
            shown = "; ".join(f"{_place(fault['loc'], ours)}: {fault['type']}" for fault in faults[:_MOST_SHOWN])
            name = getattr(into, "__name__", "the type")
            raise HttpError(f"{self._host} answered what does not fit {name}: {shown}", body=body)

        return read


def _names(adapter: TypeAdapter[T]) -> set[str]:
    """Find the names of all fields: other keys are the server's own text."""
    found: set[str] = set()

    def look(schema: object) -> None:
        if isinstance(schema, dict):
            properties = schema.get("properties")
            found.update(properties if isinstance(properties, dict) else ())
            for part in schema.values():
                look(part)
        elif isinstance(schema, list):
            for part in schema:
                look(part)

    with suppress(PydanticInvalidForJsonSchema):
        look(adapter.json_schema())
    return found


def written(value: object) -> bytes:
    """Write JSON. Raises HttpError for what has no JSON."""
    try:
        return to_json(value, inf_nan_mode="null")
    except (PydanticSerializationError, ValueError):
        pass
    raise HttpError(f"a {type(value).__name__} cannot be written as JSON: convert it first")


def _place(location: tuple[int | str, ...], ours: set[str]) -> str:
    return ".".join(str(part) if isinstance(part, int) or part in ours else "..." for part in location) or "it"
