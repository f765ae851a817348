"""Items of a list by their places, as variables give them: they are laid over the list of an earlier source."""

from __future__ import annotations


class Indexed(dict[int, object]):
    """Items by place. Where no list is beneath, the places must be those from 0 on."""
