"""What the command line tells of a configuration: a table of its settings, or a template for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast, get_args, get_origin

import anyio

from heykit import wiring
from heykit._command import Target, TargetError
from heykit._needs import signature_of
from heykit._provider import Provider
from heykit.config import Entry, Loaded
from heykit.lifetime import opened

_HEAD = ("setting", "value", "origin", "expected")


def configuration_of(target: Target) -> tuple[Provider[Loaded[object]], type[object]]:
    """Find the provider of a `Loaded[Settings]`, and its settings class: the one named, or the only one beneath."""
    named = [root for root in target.roots if isinstance(root, Provider) and _settings_of(root)]
    beneath = [node for node in wiring.read(*target.roots).nodes if isinstance(node, Provider) and _settings_of(node)]
    found = dict.fromkeys(named or beneath)
    if len(found) != 1:
        what = "no provider" if not found else "more than one provider"
        raise TargetError(f"{what} gives a Loaded[Settings] here: name the one that returns explain(Settings, sources)")
    provider = next(iter(found))
    settings = _settings_of(provider)
    assert settings is not None
    return cast("Provider[Loaded[object]]", provider), settings


def _settings_of(provider: Provider[object]) -> type[object] | None:
    """Give the class of settings that a provider loads, by its annotation; `None` for one that loads none."""
    returned = signature_of(provider.factory).return_annotation
    return get_args(returned)[0] if get_origin(returned) is Loaded else None


def loaded(provider: Provider[Loaded[object]]) -> Loaded[object]:
    """Open the configuration alone, and close it again. Raises what opening it raises."""

    async def load() -> Loaded[object]:
        async with opened(provider) as found:
            return found

    return anyio.run(load)


def table(entries: Sequence[Entry]) -> str:
    """Write a line for each setting, in columns; values are masked already."""
    rows = [_HEAD, *((entry.key, entry.shown, entry.origin, entry.expected) for entry in entries)]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        for row in rows
    )
