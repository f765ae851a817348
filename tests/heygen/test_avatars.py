"""Those who can speak: built in, added, changed, taken out; kept in a cache that forgets with every change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from heykit.cache import Cache, memory_cache
from heykit.heygen import (
    AVATARS,
    Avatar,
    Avatars,
    Colours,
    Invalid,
    NotFound,
    RenderJob,
    User,
    avatar_store,
    storyboard_renderer,
    video_store,
)
from tests.heygen.world import World

GRETA = Avatar(
    "greta", "Greta", "A pilot.", "dry", "bun", Colours("#000001", "#000002", "#000003", "#000004", "#000005")
)


@pytest.fixture
async def kept() -> AsyncGenerator[Cache[tuple[Avatar, ...]]]:
    opened: AbstractAsyncContextManager[Cache[tuple[Avatar, ...]]] = memory_cache(max_size=1)
    async with opened as cache:
        yield cache


@pytest.fixture
def avatars(here: World, kept: Cache[tuple[Avatar, ...]]) -> Avatars:
    return avatar_store(here.database, cache=kept)


async def test_without_additions_there_are_those_built_in(avatars: Avatars) -> None:
    assert await avatars.all() == AVATARS


async def test_one_that_is_put_is_listed_after_them_and_asked_of_the_database_once(
    avatars: Avatars, kept: Cache[tuple[Avatar, ...]]
) -> None:
    await avatars.all()
    assert await avatars.put(GRETA) == GRETA
    assert [await avatars.all() for _ in range(10)] == [(*AVATARS, GRETA)] * 10
    assert kept.stats().loads == 2


async def test_one_that_is_put_again_is_changed_everywhere_at_once(avatars: Avatars) -> None:
    await avatars.put(GRETA)
    assert (await avatars.all())[-1] == GRETA
    changed = replace(GRETA, name="Greta Garbo", hair="short", colours=replace(GRETA.colours, hair="#ffffff"))
    await avatars.put(changed)
    assert await avatars.all() == (*AVATARS, changed)


async def test_one_built_in_is_changed_in_its_place_and_deleting_that_brings_it_back(avatars: Avatars) -> None:
    changed = replace(AVATARS[1], voice="hoarse")
    await avatars.put(changed)
    assert await avatars.all() == (AVATARS[0], changed, *AVATARS[2:])
    await avatars.delete(changed.id)
    assert await avatars.all() == AVATARS


@pytest.mark.parametrize("id", ["bruno", "nobody", "", "\0", "a'; DROP TABLE avatars; --"])
async def test_what_was_never_put_cannot_be_deleted(avatars: Avatars, id: str) -> None:
    with pytest.raises(NotFound):
        await avatars.delete(id)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("id", replace(GRETA, id="")),
        ("id", replace(GRETA, id="Greta")),
        ("id", replace(GRETA, id="g" * 65)),
        ("id", replace(GRETA, id="greta\n")),
        ("name", replace(GRETA, name="  ")),
        ("name", replace(GRETA, name="G\0")),
        ("description", replace(GRETA, description="x" * 501)),
        ("voice", replace(GRETA, voice="\ud800")),
        ("colours.wall", replace(GRETA, colours=replace(GRETA.colours, wall="red"))),
        ("colours.skin", replace(GRETA, colours=replace(GRETA.colours, skin='#000000"/><script>'))),
        ("colours.hair", replace(GRETA, colours=replace(GRETA.colours, hair="#00000٣"))),
    ],
)
async def test_what_breaks_a_rule_names_its_field_and_changes_nothing(
    avatars: Avatars, field: str, wrong: Avatar
) -> None:
    with pytest.raises(Invalid) as refused:
        await avatars.put(wrong)
    assert refused.value.field == field
    assert await avatars.all() == AVATARS


async def test_a_video_may_name_whoever_is_in_the_catalogue_now(here: World, avatars: Avatars, ada: User) -> None:
    videos = video_store(here.database, here.shelf, here.bell, catalogue=avatars.all)
    with pytest.raises(Invalid, match="avatar_id: one of amelia, bruno"):
        await videos.create(ada, title="x", script="y", avatar_id="greta")
    await avatars.put(GRETA)
    assert (await videos.create(ada, title="x", script="y", avatar_id="greta")).avatar_id == "greta"


async def test_a_storyboard_is_painted_with_the_catalogue_of_the_moment(avatars: Avatars) -> None:
    await avatars.put(GRETA)
    renderer = storyboard_renderer(avatars.all, seconds_per_caption=0)
    async with renderer.render(RenderJob("id", "x", "y", "greta"), lambda _: None) as chunks:
        drawn = b"".join([chunk async for chunk in chunks]).decode()
    assert "spoken by Greta." in drawn
    assert all(colour in drawn for colour in ("#000001", "#000002", "#000003", "#000004", "#000005"))
