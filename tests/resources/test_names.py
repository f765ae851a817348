from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.errors import NameRefused
from heykit.resources.names import parts_of

hostile = st.lists(
    st.sampled_from(
        ["..", ".", "/", "//", "\\", "a", "C:", "\0", "\n", "~", " ", "%2e%2e", "é", "\ud800", ".git", "x" * 300]
    ),
    max_size=8,
).map("".join)


def taken(name: str) -> tuple[str, ...] | None:
    try:
        return parts_of(name)
    except NameRefused:
        return None


@given(st.one_of(st.text(), hostile, st.lists(st.text(max_size=5), max_size=5).map("/".join)))
def test_a_name_that_is_taken_stays_below_the_root(name: str) -> None:
    parts = taken(name)
    if parts is not None:
        assert "/".join(parts) == name
        assert posixpath.normpath(f"/root/{name}") == f"/root/{name}"
        assert not any(part.startswith(".") for part in parts)


@given(st.lists(st.text("abc-_ é1", min_size=1, max_size=9), min_size=1, max_size=5))
def test_any_plain_relative_path_is_taken(parts: list[str]) -> None:
    assert parts_of("/".join(parts)) == tuple(parts)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty part"),
        ("/etc/passwd", "empty part"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("../../etc/passwd", "begins with a dot"),
        ("a/../b", "begins with a dot"),
        ("a/./b", "begins with a dot"),
        (".partial/a", "begins with a dot"),
        ("a\\b", "backslash"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("a\x85b", "control character"),
        ("C:/a", "drive"),
        ("\ud800", "not valid Unicode"),
        ("é" * 128, "longer than 255 bytes"),
        ("/".join(["a" * 200] * 6), "longer than 1024 bytes"),
    ],
)
def test_a_name_that_is_refused_is_told_why(name: str, why: str) -> None:
    with pytest.raises(NameRefused, match=why):
        parts_of(name)


def test_the_longest_names_are_taken() -> None:
    assert parts_of("a" * 255) == ("a" * 255,)
    assert len(parts_of("/".join(["a" * 204] * 5))) == 5


def test_a_huge_name_makes_no_huge_message() -> None:
    with pytest.raises(NameRefused) as refused:
        parts_of("a" * 1_000_000)

    assert len(str(refused.value)) < 200
