"""A value that does not show itself."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T")


class Secret(Generic[T]):
    """Hold a value that no `repr`, `str`, `format`, log line or pickle shows; `reveal()` gives it.

    Two secrets are equal when their values are; text is compared in constant time. Copying gives the same secret;
    pickling raises `TypeError`, since a pickle would hold the value in the clear.
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Give the value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return format("***", spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return _same(self._value, other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

    def __getstate__(self) -> NoReturn:
        self.__reduce__()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: its value would stand in the clear; pass on where it comes from")


def _same(left: object, right: object) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return _same(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
    if isinstance(left, bytes) and isinstance(right, bytes):
        import hmac

        return hmac.compare_digest(left, right)
    return bool(left == right)
