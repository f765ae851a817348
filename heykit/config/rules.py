"""Rules for settings, written as `Annotated` metadata. A rule is a function that says what it expected, or None."""

from __future__ import annotations

import re
from collections.abc import Sized
from dataclasses import dataclass
from datetime import timedelta
from math import inf

from heykit.config.secret import Secret


def bare(value: object) -> object:
    """Give what a secret holds, and any other value as it is."""
    return value.reveal() if isinstance(value, Secret) else value


@dataclass(frozen=True)
class Pattern:
    r"""The regular expression is found in the text; anchor it with `^` and `\Z` to match all of it.

    `$` would match before a line end, too.
    """

    regex: str

    def __post_init__(self) -> None:
        re.compile(self.regex)

    def __str__(self) -> str:
        return f"matching {self.regex}"

    def __call__(self, value: object, /) -> str | None:
        text = bare(value)
        return None if text is None or re.search(self.regex, str(text)) else str(self)


@dataclass(frozen=True)
class _Length:
    length: int


class MinLength(_Length):
    """As many characters or items, or more."""

    def __str__(self) -> str:
        return f"{self.length} or more long"

    def __call__(self, value: object, /) -> str | None:
        return None if value is None or _length(self, value) >= self.length else str(self)


class MaxLength(_Length):
    """As many characters or items, or fewer."""

    def __str__(self) -> str:
        return f"{self.length} or less long"

    def __call__(self, value: object, /) -> str | None:
        return None if value is None or _length(self, value) <= self.length else str(self)


@dataclass(frozen=True)
class Between:
    """A number (a duration: in seconds) from `low` to `high`, both allowed."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"{self!r} allows nothing: give the lower end first")

    def __str__(self) -> str:
        if self.high == inf:
            return f"{self.low} or more"
        return f"{self.high} or less" if self.low == -inf else f"from {self.low} to {self.high}"

    def __call__(self, value: object, /) -> str | None:
        number = bare(value)
        if isinstance(number, timedelta):
            number = number.total_seconds()
        if number is None:
            return None
        if not isinstance(number, int | float):
            raise TypeError(f"{self!r} is a rule for numbers, not for {type(number).__name__}")
        return None if self.low <= number <= self.high else str(self)


class OneOf:
    """One of these values."""

    __slots__ = ("values",)

    def __init__(self, *values: object) -> None:
        self.values = values

    def __repr__(self) -> str:
        return f"OneOf({', '.join(map(repr, self.values))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OneOf) and self.values == other.values

    def __hash__(self) -> int:
        return hash((OneOf, self.values))

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))}"

    def __call__(self, value: object, /) -> str | None:
        if value is None or bare(value) in self.values:
            return None
        return "one of the allowed values" if isinstance(value, Secret) else str(self)


def _length(rule: _Length, value: object) -> int:
    sized = bare(value)
    if not isinstance(sized, Sized):
        raise TypeError(f"{rule!r} is a rule for what has a length, not for {type(sized).__name__}")
    return len(sized)
