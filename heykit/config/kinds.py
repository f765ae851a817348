"""How a value is read as a type. A `Kind` reads a raw value; what does not fit is a value too, `Wrong`.

Raw values are `Text` (from variables), which is converted, or JSON's and TOML's types, which must be the proper ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeAlias

from heykit.config.indexed import Indexed
from heykit.config.layers import opened
from heykit.config.mask import HIDDEN, found, hidden_texts, is_sensitive
from heykit.config.packed import listed
from heykit.config.protocol import Text, Trail
from heykit.config.secret import Secret

Read: TypeAlias = Callable[[object], object]


class Complaint(NamedTuple):
    """One thing that does not fit; `trail` leads to it from the value that was read."""

    expected: str
    found: str
    trail: Trail = ()
    suggestion: str = ""
    missing: bool = False
    strange: bool = False
    whole: bool = False


class Wrong(NamedTuple):
    """What a reading gives in place of a value that does not fit."""

    complaints: tuple[Complaint, ...]

    def under(self, step: str | int, *, section: bool = False) -> tuple[Complaint, ...]:
        """Lead to the complaints from one level further out; a name like a secret's hides what was found there.

        That of a section hides nothing: what is in it has names of its own.
        """
        hides = isinstance(step, str) and not section and is_sensitive(step)
        found = map(_hidden, self.complaints) if hides else self.complaints
        return tuple(one._replace(trail=(step, *one.trail)) for one in found)


class Kind(NamedTuple):
    """A type of settings: how it is read, how it is called, and whether it hides what it holds.

    `discreet` is the name that lists no allowed values: they might be secrets. `beneath` says what may stand beneath
    it: `NAMES` of its own choosing, as in a table, or `PLACES`, as in a list, or both.
    """

    read: Read
    expected: str
    discreet: str = ""
    secret: bool = False
    beneath: str = ""
    closed: bool = False
    """Whether the program lists all that it may be."""


NAMES, PLACES = "*", "#"
NO = object()


def wrong(expected: str, raw: object) -> Wrong:
    """Complain about one raw value."""
    return Wrong((Complaint(expected, found(raw)),))


def scalar(expected: str, from_text: Callable[[str], object], from_value: Read, *, discreet: str = "") -> Kind:
    """Make a kind from two conversions that give `NO` for what they refuse."""

    def read(raw: object) -> object:
        value = from_text(raw.value) if type(raw) is Text else from_value(raw)
        return wrong(expected, raw) if value is NO else value

    return Kind(read, expected, discreet or expected)


def _read_str(raw: object) -> object:
    return raw.value if type(raw) is Text else raw if type(raw) is str else wrong("str", raw)


def _int_text(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        return NO


def _float_text(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return NO


def _float_value(raw: object) -> object:
    if type(raw) is int:
        try:
            return float(raw)
        except OverflowError:
            return NO
    return raw if type(raw) is float else NO


def _bool_text(text: str) -> object:
    match text.strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off":
            return False
        case _:
            return NO


def _path_value(raw: object) -> object:
    # An empty text would be the working directory, which nobody asks for by leaving a variable empty.
    return Path(raw) if isinstance(raw, str | Path) and raw != "" and "\0" not in str(raw) else NO


STR = Kind(_read_str, "str", "str")
INT = scalar("int", _int_text, lambda raw: raw if type(raw) is int else NO)
FLOAT = scalar("float", _float_text, _float_value)
BOOL = scalar("bool, true or false", _bool_text, lambda raw: raw if type(raw) is bool else NO)
PATH = scalar("Path", _path_value, _path_value)
NONE = scalar("none", lambda text: NO if text else None, lambda raw: None if raw is None else NO)


ANY = Kind(lambda raw: raw.value if type(raw) is Text else raw, "a value", beneath=NAMES + PLACES)


def choice(options: Sequence[object]) -> Kind:
    """Read one of the values of a `Literal`; its type counts, so `True` is not `1`."""
    return _one_of(options, {one.name: one for one in options if isinstance(one, Enum)}, "str")


def member(enum: type[Enum]) -> Kind:
    """Read a member of an enumeration by its value, else by its name."""
    return _one_of(tuple(enum), enum.__members__, enum.__name__)


def _one_of(options: Sequence[object], members: Mapping[str, object], discreet: str) -> Kind:
    values = [(one.value if isinstance(one, Enum) else one, one) for one in options]
    written = {_spelling(value): one for value, one in reversed(values)}

    def from_text(text: str) -> object:
        return written.get(text, members.get(text, NO))

    def from_value(raw: object) -> object:
        same = [one for value, one in values if raw is one or (type(value) is type(raw) and value == raw)]
        return same[0] if same else members.get(raw, NO) if isinstance(raw, str) else NO

    kind = scalar(
        f"one of {', '.join(_spelling(value) or 'none' for value, _ in values)}",
        from_text,
        from_value,
        discreet=discreet,
    )
    return kind._replace(closed=True)


def _spelling(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def either(members: Sequence[Kind], *, optional: bool) -> Kind:
    """Read what the first fitting member makes of it; where None is allowed, empty text is None."""
    expected, discreet = (
        " or ".join([*names, "none"] if optional else names)
        for names in ([one.expected for one in members], [one.discreet for one in members])
    )

    def read(raw: object) -> object:
        if optional and (raw is None or (type(raw) is Text and raw.value == "")):
            return None
        refused: list[Wrong] = []
        for one in members:
            value = one.read(raw)
            if type(value) is not Wrong:
                return value
            refused.append(value)
        return refused[0] if len(members) == 1 else _nearest(refused) or wrong(expected, raw)

    beneath = "".join(sorted({mark for one in members for mark in one.beneath}))
    # What is no part of one member may be the secret of another.
    closed = all(one.closed for one in members)
    return hiding(Kind(read, expected, discreet, beneath=beneath, closed=closed), members, parts=True)


def _nearest(refused: Sequence[Wrong]) -> Wrong | None:
    """Find the one of which only names are wrong or missing, the fewest; nothing of the values is told with these."""
    near = [one for one in refused if all(each.strange or (each.missing and each.trail) for each in one.complaints)]
    return min(near, default=None, key=lambda one: (len(one.complaints), not any(map(_suggests, one.complaints))))


def _suggests(complaint: Complaint) -> bool:
    return complaint.suggestion != ""


def hiding(kind: Kind, inner: Iterable[Kind], *, parts: bool = False) -> Kind:
    """Hide what was found where a part of the kind is secret: a broken whole holds the secret too.

    What is wrong with the parts has been hidden by their own kinds, or is with `parts`.
    """
    if not any(one.secret for one in inner):
        return kind

    def read(raw: object) -> object:
        value = kind.read(raw)
        if type(value) is not Wrong:
            return value
        return Wrong(tuple(one if one.trail and not parts else _hidden(one) for one in value.complaints))

    return kind._replace(read=read, secret=True)


def _hidden(complaint: Complaint) -> Complaint:
    return complaint._replace(found=HIDDEN) if complaint.found and not complaint.missing else complaint


def read_as(kind: Kind, raw: object) -> object:
    """Read a raw value; what is wrong with one that is hidden says nothing of it, of its parts or of their names."""
    value = kind.read(raw)
    if type(value) is Wrong and any(True for _ in hidden_texts(raw)):
        return Wrong((Complaint(kind.discreet or kind.expected, HIDDEN),))
    return value


def secret(inner: Kind) -> Kind:
    """Wrap what `inner` reads in a `Secret`, and hide what it complains about."""
    expected = f"secret {inner.discreet}"

    def read(raw: object) -> object:
        value = inner.read(raw.reveal() if isinstance(raw, Secret) else raw)
        if type(value) is Wrong:
            return Wrong((Complaint(expected, HIDDEN),))
        return Secret(value)

    return Kind(read, expected, expected, secret=True, beneath=inner.beneath)


def items(item: Kind, build: Callable[[list[object]], object]) -> Kind:
    """Read a list of any length; text is a JSON array, or separated by commas."""
    expected = f"list of {item.expected}"

    def read(raw: object) -> object:
        parts = listed(raw)
        if parts is None:
            return _no_list(expected, raw, hides=item.secret)
        return gathered([item] * len(parts), parts, build)

    return hiding(Kind(read, expected, f"list of {item.discreet}", beneath=PLACES), [item])


def row(places: Sequence[Kind]) -> Kind:
    """Read a tuple with a kind for each place."""
    expected = f"list of {len(places)}: {', '.join(one.expected for one in places)}"

    def read(raw: object) -> object:
        parts = listed(raw)
        if parts is None or len(parts) != len(places):
            return _no_list(expected, raw, hides=any(one.secret for one in places))
        return gathered(places, parts, tuple)

    return hiding(Kind(read, expected, f"list of {len(places)}", beneath=PLACES), places)


def _no_list(expected: str, raw: object, *, hides: bool) -> Wrong:
    if not isinstance(raw, Indexed):
        return wrong(expected, raw)
    if raw.beneath is not None:
        return Wrong((Complaint(f"{expected} beneath it", HIDDEN if hides else found(raw.beneath), (min(raw),)),))
    gap = next(place for place in range(len(raw) + 1) if place not in raw)
    after = min(place for place in raw if place > gap)
    return Wrong((Complaint(f"an item {gap} before it", "none", (after,)),))


def gathered(kinds: Sequence[Kind], parts: Sequence[object], build: Callable[[list[object]], object]) -> object:
    """Read every item, and complain about all that do not fit."""
    read = [kind.read(part) for kind, part in zip(kinds, parts, strict=True)]
    complaints = [one for at, value in enumerate(read) if type(value) is Wrong for one in value.under(at)]
    return Wrong(tuple(complaints)) if complaints else build(read)


def table(item: Kind) -> Kind:
    """Read a mapping from text to `item`; text is a JSON object."""
    expected = f"table of {item.expected}"

    def read(raw: object) -> object:
        found = raw if type(raw) is not Text else opened(raw) if raw.value.strip() else {}
        if isinstance(found, Indexed):
            found = {str(place): part for place, part in found.items()}
        if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
            return wrong(expected, raw)
        read = {str(key): item.read(part) for key, part in found.items()}
        complaints = [one for key, value in read.items() if type(value) is Wrong for one in value.under(key)]
        return Wrong(tuple(complaints)) if complaints else read

    return hiding(Kind(read, expected, f"table of {item.discreet}", beneath=NAMES), [item])
