"""Items of a list by their places, as variables give them: they are laid over the list of an earlier source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Indexed(dict[int, object]):
    """Items by place. Where no list is beneath, the places must be those from 0 on.

    `beneath` is what an earlier source has there and is no list, None for nothing.
    """

    def __init__(self, items: Mapping[int, object] | Iterable[tuple[int, object]] = (), beneath: object = None) -> None:
        super().__init__(items)
        self.beneath = beneath
