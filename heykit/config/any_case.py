"""Names that came from names of variables, which do not tell small letters from capitals."""

from __future__ import annotations

from collections.abc import Collection


class AnyCase(str):
    """A name in small letters that stands for itself in any case: of `APP_LIMITS__CPU`, the `cpu`."""

    __slots__ = ()


def spelt(name: object, table: Collection[object]) -> object:
    """Find how a name is spelt in a table, where either came from a variable; the name itself if it is not there."""
    if name in table or not isinstance(name, str):
        return name
    if type(name) is AnyCase:
        return next((key for key in table if isinstance(key, str) and key.lower() == name), name)
    return next((key for key in table if type(key) is AnyCase and key == name.lower()), name)
