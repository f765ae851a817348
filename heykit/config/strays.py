"""Names under our prefix that are no settings: misspelt, Kubernetes', or somebody else's."""

from __future__ import annotations

import re
from collections.abc import Mapping

from heykit.config.naming import Names, Naming, step_of
from heykit.config.nearest import is_slip, nearest

_SHORT = 5  # letters


def is_of_kubernetes(name: str, texts: Mapping[str, str]) -> bool:
    """Tell whether Kubernetes has set a variable, for a service that has the name of our prefix.

    Kubernetes, "Service", discovery by environment variables: `{NAME}_SERVICE_HOST`, `{NAME}_SERVICE_PORT`, and
    Docker's `{NAME}_PORT` with the address, `{NAME}_PORT_80_TCP` and the like. The host is an address, by which it is
    told from a misspelt setting.
    """
    if "__" in name:
        return False
    if re.fullmatch(r".+_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?", name):
        return True
    if name.endswith("_PORT") and re.match(r"(?:tcp|udp|sctp)://", texts[name]):
        return True
    service = re.fullmatch(r"(.+_SERVICE)_(?:HOST|PORT(?:_.+)?)", name)
    host = texts.get(f"{service[1]}_HOST", "") if service else ""
    return re.fullmatch(r"[0-9.]+|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*", host) is not None


def meant(stray: str, names: Names, naming: Naming) -> str:
    """Find the setting that a name most likely misspells; empty if it resembles none."""
    return (
        _near(stray, names, naming)
        or _near_item(stray, names, naming)
        or _slipped_item(stray, names, naming)
        or _beneath(stray, names, naming)
    )


def _near(stray: str, names: Names, naming: Naming) -> str:
    """Compare what follows the sections that are spelt right, so that a long section allows no more slips."""
    start = len(naming.prefix)
    stray, cut = naming.prefix + stray[start:].upper(), start
    while (at := stray.find(naming.separator, cut)) >= 0:
        after = at + len(naming.separator)
        if not any(name.startswith(stray[:after]) for name in names.known):
            break
        cut = after
    rest = stray[cut:]
    rests = {name[cut:]: name for name in names.known if name.startswith(stray[:cut])}
    if cut == start:
        # Nothing but the prefix is spelt right.
        rests = {each: name for each, name in rests.items() if len(each) >= _SHORT or is_slip(rest, each)}
    near = nearest(rest, rests)
    return "" if near is None else rests[near]


def _near_item(stray: str, names: Names, naming: Naming) -> str:
    """Compare what names an item or an entry without its place and what follows."""
    parts = [part.upper() for part in naming.parts(stray)]
    for at in range(1, min(len(parts), names.deepest + 1)):
        near = _near(naming.joined(parts[:at]), names, naming)
        key = names.settings.get(near)
        if key in names.tables or (key in names.lists and isinstance(step_of(parts[at]), int)):
            return naming.separator.join([near, *parts[at:]])
    return ""


def _slipped_item(stray: str, names: Names, naming: Naming) -> str:
    """Find the item in `HEYGEN_HOSTS_0`."""
    slipped = re.fullmatch(rf"(.+?)_([0-9]{{1,4}})((?:{re.escape(naming.separator)}.*)?)", stray, re.DOTALL)
    if slipped is None or names.settings.get(slipped[1]) not in names.lists:
        return ""
    return f"{slipped[1]}{naming.separator}{slipped[2]}{slipped[3]}"


def _beneath(stray: str, names: Names, naming: Naming) -> str:
    """Find the setting in `HEYGEN_DATABASE__URL__X`, and the item in `HEYGEN_SERVERS__0_HOST`."""
    if naming.separator == "_":  # every name of more than one word would be beneath another
        return ""
    parts = naming.parts(stray)
    heads = (naming.joined(parts[:at]) for at in range(1, min(len(parts), names.deepest + 1)))
    head = next((each for each in heads if each in names.settings), "")
    slipped = re.fullmatch(r"([0-9]{1,4})_+([^_].*)", stray[len(head) + len(naming.separator) :], re.DOTALL)
    if slipped is None or names.settings.get(head) not in names.lists:
        return head
    return naming.separator.join([head, *slipped.groups()])
