"""Items of a list by their places, as variables give them: they are laid over the list of an earlier source."""

from __future__ import annotations

from collections.abc import Mapping


class Indexed(dict[int, object]):
    """Items by place. Where no list is beneath, the places must be those from 0 on."""

    def over(self, below: object) -> object:
        """Give the list with these items in their places, one after its end too; `self` where that leaves a gap."""
        items = list(below) if isinstance(below, list | tuple) else []
        for place in sorted(self):
            if place > len(items):
                return self
            item = self[place]
            if place == len(items):
                items.append(item)
            elif isinstance(item, Mapping) and isinstance(items[place], Mapping):
                items[place] = {**items[place], **item}
            else:
                items[place] = item
        return items
