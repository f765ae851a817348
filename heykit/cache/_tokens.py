"""What says that something read is still true: taken before the reading, dropped by whoever changes it.

A token lives as long as anybody holds it, so that names nobody waits for take no memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from weakref import ref


class Token:
    """One name's promise that nothing was changed since it was taken."""

    __slots__ = ("__weakref__", "dropped")

    def __init__(self) -> None:
        self.dropped = False


class Tokens:
    """The tokens that are held, by name."""

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held: dict[str, ref[Token]] = {}

    def __len__(self) -> int:
        return len(self.held)

    def take(self, name: str) -> Token:
        """Give the token of a name, the same to all who ask until it is dropped."""
        held = self.held.get(name)
        token = None if held is None else held()
        if token is None:
            token = Token()
            self.held[name] = ref(token, partial(_forget, self.held, name))
        return token

    def drop(self, name: str) -> None:
        """Break the promise; who takes a token afterwards has a new one."""
        held = self.held.pop(name, None)
        if held is not None and (token := held()) is not None:
            token.dropped = True

    def drop_all(self) -> None:
        for name in [*self.held]:
            self.drop(name)


def _forget(held: dict[str, ref[Token]], name: str, gone: ref[Token]) -> None:
    if held.get(name) is gone:
        del held[name]


class Ticket:
    """The right to keep what a load brings: for as long as neither its key nor one of its tags is dropped.

    `claim` is what Redis knows this load by, where it does, and `stamps` what its value will hold under; `is_loading`
    once that is settled, and the load has begun.
    """

    __slots__ = ("_dropped", "claim", "is_loading", "key", "stamps", "tags")

    def __init__(self, key: Token, tags: Mapping[str, Token]) -> None:
        self.key = key
        self.tags = tags
        self.claim = b""
        self.is_loading = False
        self.stamps: list[bytes] = []
        self._dropped = False

    @property
    def dropped(self) -> bool:
        return self._dropped or self.key.dropped or any(tag.dropped for tag in self.tags.values())

    def drop(self) -> None:
        self._dropped = True
