"""Who may do what: roles grant permissions such as `read:videos`, some by wildcard.

    editor = Role("editor", {"write:videos"}, includes={"viewer"})
    viewer = Role("viewer", {"read:*"})
    permissions_of(["editor"], [editor, viewer])  # frozenset({"write:videos", "read:*"})

Everything here is a pure function; an unknown role grants nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Permitted", "Role", "Subject", "has_permission", "has_role", "matches", "permissions_of"]


class Subject(Protocol):
    """Someone who has roles."""

    @property
    def roles(self) -> Collection[str]: ...


class Permitted(Subject, Protocol):
    """Someone whose permissions are known as well, most often by `permissions_of`."""

    @property
    def permissions(self) -> Collection[str]: ...


@dataclass(frozen=True)
class Role:
    """A name for permissions; it also grants those of the roles it includes, by name."""

    name: str
    permissions: Collection[str] = frozenset()
    includes: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "permissions", _names(self.permissions))
        object.__setattr__(self, "includes", _names(self.includes))


def permissions_of(roles: Collection[str], known_roles: Iterable[Role]) -> frozenset[str]:
    """Gather what roles grant, included roles too; roles that include each other are no trouble.

    :raises ValueError: two known roles have the same name
    """
    known = _by_name(known_roles)
    reached: set[str] = set()
    waiting = set(_names(roles))
    while waiting:
        name = waiting.pop()
        reached.add(name)
        if name in known:
            waiting |= _names(known[name].includes) - reached
    return frozenset().union(*(known[name].permissions for name in reached & known.keys()))


def has_role(subject: Subject, role: str) -> bool:
    """True if the subject has this very role; roles that it includes are not looked up."""
    return role in _names(subject.roles)


def has_permission(subject: Permitted, permission: str) -> bool:
    """True if one of the subject's permissions is this one or a wildcard for it."""
    return any(matches(granted, permission) for granted in _names(subject.permissions))


def matches(granted: str, asked: str) -> bool:
    """True if what was granted covers what is asked, part by part between colons.

    `*` stands for any one part, and as the last part for all that follow: `read:*` covers `read:videos` and
    `read:videos:7`, `*` covers everything. Only what was granted has wildcards.
    """
    grants, asks = granted.split(":"), asked.split(":")
    if grants[-1] == "*" and len(grants) < len(asks):
        asks = asks[: len(grants)]
    return len(grants) == len(asks) and all(map(_covers, grants, asks))


def _covers(grant: str, ask: str) -> bool:
    return grant in ("*", ask)


def _by_name(roles: Iterable[Role]) -> dict[str, Role]:
    known: dict[str, Role] = {}
    for role in roles:
        if known.setdefault(role.name, role) is not role:
            raise ValueError(f"Two roles are named {role.name!r}: put their permissions into one.")
    return known


def _names(values: Collection[str]) -> frozenset[str]:
    # A string is a collection of its letters: "admin" would have the role "a".
    if isinstance(values, str):
        raise TypeError("Roles and permissions are collections of names: put the one name into a set.")
    return frozenset(values)
