"""Profiles and pages of videos are kept, and forgotten with every change."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, suppress

import anyio
import pytest

from heykit.cache import Cache, json_codec, memory_cache, optional
from heykit.heygen import (
    NotFound,
    Page,
    Profile,
    RenderQueue,
    User,
    Users,
    Video,
    Videos,
    bytes_of_page,
    render_queue,
    user_store,
    video_store,
)
from tests.heygen.world import PlainPasswords, World


@pytest.fixture
async def pages() -> AsyncGenerator[Cache[Page[Video]]]:
    opened: AbstractAsyncContextManager[Cache[Page[Video]]] = memory_cache(max_size=10**6, weigh=bytes_of_page)
    async with opened as cache:
        yield cache


@pytest.fixture
async def profiles() -> AsyncGenerator[Cache[Profile | None]]:
    opened: AbstractAsyncContextManager[Cache[Profile | None]] = memory_cache()
    async with opened as cache:
        yield cache


@pytest.fixture
def videos(here: World, pages: Cache[Page[Video]]) -> Videos:
    return video_store(here.database, here.shelf, here.bell, cache=pages, now=here.clock, entropy=here.entropy)


@pytest.fixture
def queue(here: World, pages: Cache[Page[Video]]) -> RenderQueue:
    return render_queue(here.database, here.bell, cache=pages, now=here.clock, entropy=here.entropy)


@pytest.fixture
def users(here: World, profiles: Cache[Profile | None]) -> Users:
    return user_store(here.database, PlainPasswords(), cache=profiles, now=here.clock, entropy=here.entropy)


async def listed(videos: Videos, user: User) -> list[tuple[str, str, int]]:
    return [(video.title, video.status, video.progress) for video in (await videos.page(user)).items]


async def test_a_page_is_kept_and_forgotten_with_everything_that_changes_it(
    here: World, videos: Videos, queue: RenderQueue, pages: Cache[Page[Video]], ada: User
) -> None:
    assert await listed(videos, ada) == []
    here.clock.turn(1)
    video = await videos.create(ada, title="One", script="Hello.", avatar_id="amelia")
    assert await listed(videos, ada) == [("One", "queued", 0)]
    await listed(videos, ada)
    assert (pages.stats().hits, pages.stats().loads) == (1, 2)

    claim = await queue.claim()
    assert claim is not None
    assert await listed(videos, ada) == [("One", "rendering", 0)]
    await queue.progress(claim, 40)
    assert await listed(videos, ada) == [("One", "rendering", 40)]
    await queue.put_off(claim, "away")
    assert await listed(videos, ada) == [("One", "queued", 0)]
    here.clock.turn(60)
    claim = await queue.claim()
    assert claim is not None
    await queue.complete(claim, "one.txt", 5)
    assert await listed(videos, ada) == [("One", "done", 100)]
    await videos.delete(ada, video.id)
    assert await listed(videos, ada) == []


async def test_a_job_that_is_given_up_is_seen_to_have_failed(
    here: World, videos: Videos, queue: RenderQueue, ada: User
) -> None:
    here.clock.turn(1)
    await videos.create(ada, title="One", script="Hello.", avatar_id="amelia")
    for _ in range(5):
        assert await queue.claim() is not None
        here.clock.turn(60)
    assert await listed(videos, ada) == [("One", "rendering", 0)]
    assert await queue.claim() is None
    assert await listed(videos, ada) == [("One", "failed", 0)]


async def test_the_pages_of_others_stay_and_are_nobody_elses(
    here: World, videos: Videos, pages: Cache[Page[Video]], ada: User
) -> None:
    bob = await here.user("bob")
    here.clock.turn(1)
    await videos.create(ada, title="Hers", script="Hello.", avatar_id="amelia")
    assert [await listed(videos, each) for each in (ada, bob)] == [[("Hers", "queued", 0)], []]
    loads = pages.stats().loads
    await videos.create(ada, title="Second", script="Hello.", avatar_id="amelia")
    assert await listed(videos, bob) == []
    assert pages.stats().loads == loads


async def test_a_client_who_leaves_while_the_change_is_made_leaves_no_old_page(
    here: World, videos: Videos, ada: User
) -> None:
    here.clock.turn(1)
    video = await videos.create(ada, title="One", script="Hello.", avatar_id="amelia")
    for delay in (0.0, 0.001, 0.002, 0.005, 0.02):
        await listed(videos, ada)
        with anyio.move_on_after(delay), suppress(NotFound):
            await videos.delete(ada, video.id)
        there = await here.database.fetch_value("SELECT COUNT(*) FROM videos WHERE id = $1", video.id)
        assert len(await listed(videos, ada)) == there


async def test_pages_are_bounded_by_their_bytes_however_many_are_asked_for(
    here: World, videos: Videos, pages: Cache[Page[Video]], ada: User
) -> None:
    for _ in range(30):
        here.clock.turn(1)
        await videos.create(ada, title="One", script="\N{GRINNING FACE}" * 5000, avatar_id="amelia")
    for limit in range(1, 31):
        await videos.page(ada, limit=limit)
    assert pages.stats().weight <= 10**6
    assert 0 < pages.stats().size < 30


async def test_a_profile_is_kept_without_the_password_and_looked_up_anew_with_another_role(
    users: Users, profiles: Cache[Profile | None], ada: User
) -> None:
    assert [await users.profile(ada.id) for _ in range(3)] == [ada.profile] * 3
    assert (profiles.stats().hits, profiles.stats().loads) == (2, 1)
    await users.grant("Ada", "admin")
    found = await users.profile(ada.id)
    assert found is not None
    assert (found.role, found.permissions) == ("admin", (await users.grant("ada", "admin")).permissions)
    assert await users.profile("0" * 32) is None
    assert "correct horse" not in optional(json_codec(Profile)).encode(found).decode()


async def test_pages_and_profiles_are_what_they_were_after_a_way_through_redis(ada: User) -> None:
    video = Video("1", ada.id, "Title", "Script", "amelia", "queued", 0, None, ada.created_at, None, None, None)
    page = Page((video,), "next")
    codec = json_codec(Page[Video])
    assert codec.decode(codec.encode(page)) == page
    assert json_codec(Profile).decode(json_codec(Profile).encode(ada.profile)) == ada.profile
