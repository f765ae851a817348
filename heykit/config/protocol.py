"""What a source of settings is: something that reads a `Layer`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from heykit.errors import ConfigFault

Key: TypeAlias = tuple[str, ...]
"""A setting's place in `Settings`: `("database", "url")`."""

Trail: TypeAlias = tuple[str | int, ...]
"""The way to a value in a layer; numbers are places in lists."""


@dataclass(frozen=True, slots=True)
class Text:
    """A value that came as text, still to be read as its setting's type."""

    value: str = field(repr=False)
    hidden: bool = False
    """Whether it is shown to nobody, whatever the type of its setting."""
    below: Text | None = field(default=None, repr=False)
    """The text of an earlier source over which it is laid, where both are JSON objects and the setting is a table."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source gives.

    `values` is nested by name and holds `Text` or values of JSON's types. `origin` says where a value stands, or where
    it would have to be set: the name of a variable, a file and its line. `faults` is what is wrong with the source
    itself. A layer shows no values in its `repr`; what is `hidden` shows none to anybody. `has_items` says that items
    of lists by their places are among the values.
    """

    values: Mapping[str, object] = field(repr=False)
    origin: Callable[[Trail], str] = field(repr=False)
    faults: Sequence[ConfigFault] = ()
    hidden: bool = False
    has_items: bool = False


class Source(Protocol):
    """A place where settings come from."""

    def read(self, keys: tuple[Key, ...], /) -> Layer:
        """Read what the source holds now. Raise nothing: faults are values.

        `keys` are all the settings there are. One that ends in `*` says that any names may stand there, as in a table;
        in `#`, that places of a list may.
        """
        ...


class OpenSource(Source, Protocol):
    """A source that can be read without knowing what settings there are."""

    def read_all(self) -> Layer:
        """Read all that the source holds now."""
        ...
