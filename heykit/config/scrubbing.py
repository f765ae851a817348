"""What the user's own code says of settings, without the secrets that it was given."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from heykit.config.mask import HIDDEN, holds_text, is_sensitive, masked, without_passwords
from heykit.config.secret import Secret


def scrubbed(said: str, value: object, hidden: Iterable[str] = ()) -> str:
    """Take every secret that `value` holds, and what is hidden, out of what the user's own code said of it."""
    for text in sorted({*_secrets(value), *filter(None, hidden)}, key=len, reverse=True):
        said = said.replace(text, HIDDEN)
    for text in filter(None, _secrets(value, inside=True)):
        said = said.replace(text, masked(text))
    return without_passwords(said)


def _secrets(value: object, *, inside: bool = False) -> Iterator[str]:
    if isinstance(value, Secret):
        yield from _secrets(value.reveal(), inside=True)
    elif isinstance(value, Mapping):
        yield from (text for name, item in value.items() for text in _named(name, item, inside=inside))
    elif isinstance(value, list | tuple):
        yield from (text for item in value for text in _secrets(item, inside=inside))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        held = ((field.name, getattr(value, field.name, None)) for field in dataclasses.fields(value))
        yield from (text for name, item in held for text in _named(name, item, inside=inside))
    elif inside:
        written = (str(value), repr(value)[1:-1] if isinstance(value, str) else "")
        yield from filter(None, written)


def _named(name: object, value: object, *, inside: bool) -> Iterator[str]:
    is_secret = isinstance(name, str) and is_sensitive(name) and holds_text(value)
    yield from _secrets(value, inside=inside or is_secret)
