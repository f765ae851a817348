from __future__ import annotations

from collections.abc import Collection
from dataclasses import FrozenInstanceError, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.security.access import Role, has_permission, has_role, matches, permissions_of


@dataclass(frozen=True)
class User:
    roles: Collection[str] = ()
    permissions: Collection[str] = ()


words = st.sampled_from(["read", "write", "videos", "a", ""])
permissions = st.lists(words, min_size=1, max_size=4).map(":".join)
grants = st.lists(words | st.just("*"), min_size=1, max_size=4).map(":".join)


def covers(granted: list[str], asked: list[str]) -> bool:
    """The rule once more, one part at a time from the left."""
    if not granted or not asked:
        return granted == asked
    if granted == ["*"]:
        return True
    return granted[0] in {"*", asked[0]} and covers(granted[1:], asked[1:])


@given(grants, permissions)
def test_wildcards_cover_what_the_model_covers(granted: str, asked: str) -> None:
    assert covers(granted.split(":"), asked.split(":")) == matches(granted, asked)


@given(permissions)
def test_a_permission_covers_itself_and_the_star_covers_everything(permission: str) -> None:
    assert matches(permission, permission)
    assert matches("*", permission)


@pytest.mark.parametrize(
    ("granted", "asked", "right"),
    [
        ("read:videos", "read:videos", True),
        ("read:*", "read:videos", True),
        ("read:*", "read:videos:7", True),
        ("*:videos", "write:videos", True),
        ("read:*:own", "read:videos:own", True),
        ("read:*", "read", False),
        ("read:*", "reads:videos", False),
        ("read:*", "write:videos", False),
        ("*:videos", "write:videos:7", False),
        ("read", "read:videos", False),
        ("read:vid*", "read:videos", False),
        ("read:videos", "read:*", False),
        ("read:videos", "*", False),
        ("read:videos", "READ:videos", False),
        ("", "read:videos", False),
    ],
)
def test_a_star_stands_for_whole_parts_of_what_was_granted(granted: str, asked: str, *, right: bool) -> None:
    assert right == matches(granted, asked)


def test_a_role_grants_its_permissions_and_those_of_the_roles_it_includes() -> None:
    viewer = Role("viewer", {"read:*"})
    editor = Role("editor", {"write:videos"}, includes={"viewer"})
    admin = Role("admin", ["delete:*"], includes=["editor"])
    assert {"read:*"} == permissions_of(["viewer"], [viewer, editor, admin])
    assert {"read:*", "write:videos", "delete:*"} == permissions_of({"admin"}, [viewer, editor, admin])


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.sampled_from("abcdefx"), max_size=3)),
    st.frozensets(st.sampled_from("abcdefx")),
)
def test_any_graph_of_roles_grants_what_can_be_reached(graph: dict[str, frozenset[str]], roles: frozenset[str]) -> None:
    reached = roles
    for _ in graph:
        reached |= {included for name in reached for included in graph.get(name, ())}
    known = [Role(name, {f"do:{name}"}, includes) for name, includes in graph.items()]
    assert {f"do:{name}" for name in reached & graph.keys()} == permissions_of(roles, known)


def test_roles_that_include_each_other_are_no_trouble() -> None:
    known = [Role("a", {"x"}, {"b"}), Role("b", {"y"}, {"a", "b"})]
    assert {"x", "y"} == permissions_of(["a"], known) == permissions_of(["b"], known)


def test_an_unknown_role_grants_nothing() -> None:
    assert frozenset() == permissions_of(["ghost"], [Role("viewer", {"read:*"})])
    assert frozenset() == permissions_of([], [])


def test_two_roles_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="Two roles are named 'viewer'"):
        permissions_of([], [Role("viewer", {"a"}), Role("viewer", {"b"})])


def test_a_role_stays_as_it_was_written() -> None:
    mine = {"read:*"}
    role = Role("viewer", mine)
    mine.add("write:*")
    assert frozenset({"read:*"}) == role.permissions
    assert hash(role) == hash(Role("viewer", ["read:*"]))
    with pytest.raises(FrozenInstanceError):
        role.name = "admin"  # type: ignore[misc]


def test_has_role_looks_for_the_very_role() -> None:
    assert has_role(User(roles=["admin"]), "admin")
    assert not has_role(User(roles=["admin"]), "adm")
    assert not has_role(User(), "admin")


def test_has_permission_looks_for_any_grant_that_covers() -> None:
    assert has_permission(User(permissions=("write:videos", "read:*")), "read:videos")
    assert not has_permission(User(permissions=("write:videos", "read:*")), "delete:videos")
    assert not has_permission(User(), "read:videos")


def test_a_name_where_a_collection_of_names_belongs_is_an_error_not_a_grant() -> None:
    """In "admin" stand "adm" and "a", and in "*:x" stands "*"."""
    for call in (
        lambda: has_role(User(roles="admin"), "adm"),
        lambda: has_permission(User(permissions="*:x"), "read:videos"),
        lambda: permissions_of("admin", []),
        lambda: Role("viewer", "*:x"),
        lambda: Role("viewer", includes="admin"),
    ):
        with pytest.raises(TypeError, match="collections of names"):
            call()
