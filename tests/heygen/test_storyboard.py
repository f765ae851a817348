from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heykit.heygen import AVATARS, RenderFailed, RenderJob, avatar_by_id, storyboard_renderer
from heykit.heygen.captions import captions, one_line
from heykit.heygen.storyboard import storyboard
from tests.heygen.test_captions import TEXTS

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</title><script>alert("1")</script> & <image href="http://x.test/"/> ]]> <!-- -->'


def drawn(title: str, script: str) -> ET.Element:
    return ET.fromstring("".join(storyboard(title, captions(script), AVATARS[0])))


def shown(root: ET.Element) -> str:
    """The captions, as they stand in the drawing, without spaces."""
    groups = [group for group in root.findall(f"{SVG}g") if group.get("opacity") is not None]
    return "".join(line.text or "" for group in groups for line in group.findall(f"{SVG}text")).replace(" ", "")


@given(TEXTS, TEXTS)
def test_any_text_gives_well_formed_xml_that_holds_all_of_it(title: str, script: str) -> None:
    root = drawn(title, script)
    assert one_line(title) == (root.findtext(f"{SVG}title") or "")
    assert "".join(one_line(line) for line in script.splitlines()).replace(" ", "") == shown(root)


@given(TEXTS)
def test_times_go_from_0_to_1_and_never_back(script: str) -> None:
    for animation in drawn("x", script).iter(f"{SVG}animate"):
        times = [float(time) for time in animation.get("keyTimes", "0;1").split(";")]
        assert sorted(times) == times
        assert (times[0], times[-1] <= 1) == (0, True)
        assert len(times) == len(animation.get("values", "").split(";")) or animation.get("keyTimes") is None


def test_what_a_user_writes_is_text_and_nothing_else() -> None:
    root = drawn(HOSTILE, HOSTILE)
    known = {"svg", "title", "desc", "defs", "radialGradient", "stop", "rect", "g", "path", "ellipse", "text"}
    assert known | {"animate", "animateTransform"} == {element.tag.removeprefix(SVG) for element in root.iter()}
    assert root.findtext(f"{SVG}title") == HOSTILE


def test_it_refers_to_nothing_outside() -> None:
    text = "".join(storyboard("x", captions("y"), AVATARS[0]))
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"href|<script|<style|<image|foreignObject|\bon\w+=", text)
    assert re.findall(r"url\(([^)]*)\)", text) == ["#wall"]


def test_it_says_that_it_is_a_preview() -> None:
    assert "preview" in [text.text for text in drawn("x", "y").iter(f"{SVG}text")]


def test_captions_are_shown_one_after_the_other() -> None:
    script = "The first sentence is long enough to stand alone. The second sentence is long enough as well."
    groups = [group for group in drawn("x", script).findall(f"{SVG}g") if group.get("opacity") is not None]
    assert [group.get("opacity") for group in groups] == ["1", "0"]
    first, second = (group.find(f"{SVG}animate") for group in groups)
    assert first is not None
    assert second is not None
    assert first.get("keyTimes", "").split(";")[4] == second.get("keyTimes", "").split(";")[1]


def test_a_line_from_right_to_left_says_so() -> None:
    lines = {text.text: text.get("direction") for text in drawn("(שלום)", "1. مرحبا يا عالم").iter(f"{SVG}text")}
    assert lines == {"(שלום)": "rtl", "1. مرحبا يا عالم": "rtl", "preview": None}


def test_a_long_title_is_cut_short_in_the_picture_only() -> None:
    title = "a long title " * 15
    root = drawn(title, "x")
    assert title.strip() == root.findtext(f"{SVG}title")
    assert sum((line.text or "").endswith("…") for line in root.findall(f"{SVG}text")) == 1


async def test_the_renderer_gives_caption_by_caption_and_reports_as_it_goes() -> None:
    reports: list[int] = []
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    script = "The first sentence is long enough to stand alone. The second sentence is long enough as well."
    renderer = storyboard_renderer(seconds_per_caption=0.5, sleep=sleep)
    async with renderer.render(RenderJob("id", "x", script, "bruno"), reports.append) as chunks:
        parts = [chunk async for chunk in chunks]
    assert len(parts) == 4
    assert reports == [0, 33, 66, 100]
    assert {0.5} == set(pauses)
    assert b"".join(parts).decode() == "".join(storyboard("x", captions(script), AVATARS[1]))
    assert renderer.suffix == ".svg"


async def test_an_avatar_that_left_the_catalogue_is_named() -> None:
    with pytest.raises(RenderFailed, match="'nobody'"):
        await storyboard_renderer().render(RenderJob("id", "x", "y", "nobody"), print).__aenter__()


@pytest.mark.parametrize("avatar", AVATARS, ids=lambda avatar: str(avatar.id))
def test_every_avatar_is_found_and_painted_in_its_colours(avatar: object) -> None:
    assert avatar in AVATARS
    found = next(known for known in AVATARS if known == avatar)
    assert found == avatar_by_id(found.id)
    text = "".join(storyboard("x", captions("y"), found))
    colours = found.colours
    assert all(colour in text for colour in (colours.wall, colours.light, colours.skin, colours.hair, colours.clothes))


@given(st.text())
def test_no_other_id_is_an_avatar(id: str) -> None:
    assert avatar_by_id(id) is None or id in [avatar.id for avatar in AVATARS]
