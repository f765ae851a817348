from __future__ import annotations

from datetime import UTC, date, datetime
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heykit.errors import FileError, FileMissing
from heykit.heygen import Day, Invalid, NotFound, NotReady, Page, User, Video, render_queue
from heykit.heygen.bell import QUEUE
from heykit.heygen.pages import Place, cursor_of, place_of
from tests.heygen.world import World


async def finish(here: World, content: bytes = b"<svg/>") -> str:
    """Do what a worker does with the oldest job."""
    queue = render_queue(here.database, here.bell, now=here.clock, entropy=here.entropy)
    claim = await queue.claim()
    assert claim is not None
    name = f"videos/{claim.job.video_id}.svg"
    written = await here.shelf.put(name, content)
    assert await queue.complete(claim, name, written.size)
    return claim.job.video_id


async def test_a_new_video_is_queued(here: World, ada: User) -> None:
    video = await here.videos.create(ada, title="  Hi ", script="\n Hello. ", avatar_id="bruno")
    assert ("Hi", "Hello.", "bruno", ada.id) == (video.title, video.script, video.avatar_id, video.user_id)
    assert (video.status, video.progress, video.file, video.finished_at) == ("queued", 0, None, None)
    assert datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC) == video.created_at
    assert video == await here.videos.get(ada, video.id)


async def test_an_order_rings_the_bell_of_the_queue(here: World, ada: User) -> None:
    with here.bell.listening(QUEUE) as order:
        await here.order(ada)
        assert await order.wait(0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", " \n"),
        ("title", "x" * 201),
        ("title", "a\0b"),
        ("script", "\t"),
        ("script", "x" * 5_001),
        ("script", "x" * 100_000),
        ("script", "half of \ud83d a pair"),
        ("avatar_id", "nobody"),
        ("avatar_id", ""),
    ],
)
async def test_a_wrong_field_is_named(here: World, ada: User, field: str, value: str) -> None:
    given_fields = {"title": "Hi", "script": "Hello.", "avatar_id": "bruno"} | {field: value}
    with pytest.raises(Invalid, match=f"^{field}: ") as caught:
        await here.videos.create(ada, **given_fields)
    assert (field, 422) == (caught.value.field, caught.value.status)
    assert list((await here.videos.page(ada)).items) == []


async def test_the_longest_title_and_script_are_kept_whole(here: World, ada: User) -> None:
    video = await here.videos.create(ada, title="é" * 200, script="語" * 5_000, avatar_id="chen")
    assert (video.title, video.script) == ("é" * 200, "語" * 5_000)


async def test_somebody_elses_video_does_not_exist(here: World) -> None:
    ada, bob = await here.user("ada"), await here.user("bob")
    id = await here.order(ada)
    for ask in (here.videos.get, here.videos.delete):
        with pytest.raises(NotFound):
            await ask(bob, id)
    assert list((await here.videos.page(bob)).items) == []
    assert id == (await here.videos.get(ada, id)).id


@pytest.mark.parametrize("id", ["", "0" * 32, "../../etc/passwd", "\0", "\ud800", "x" * 10_000])
async def test_an_id_of_nothing_is_not_found(here: World, ada: User, id: str) -> None:
    for ask in (here.videos.get, here.videos.delete):
        with pytest.raises(NotFound) as caught:
            await ask(ada, id)
        assert caught.value.status == 404


async def test_pages_give_every_video_once_newest_first_also_of_one_instant(here: World, ada: User) -> None:
    made = [await here.order(ada) for _ in range(4)]
    here.clock.turn(-1)
    made.append(await here.order(ada))  # at the same instant as the one before
    pages = await all_pages(here, ada, limit=2)
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert sorted(made, key=made.index) == sorted((v.id for page in pages for v in page.items), key=made.index)
    assert made[2::-1] == [video.id for page in pages for video in page.items][2:]


async def test_a_page_that_is_just_full_is_the_last(here: World, ada: User) -> None:
    for _ in range(2):
        await here.order(ada)
    assert (await here.videos.page(ada, limit=2)).next_cursor is None
    assert (await here.videos.page(ada, limit=1)).next_cursor is not None


async def all_pages(here: World, user: User, *, limit: int) -> list[Page[Video]]:
    pages = [await here.videos.page(user, limit=limit)]
    while pages[-1].next_cursor:
        pages.append(await here.videos.page(user, pages[-1].next_cursor, limit=limit))
    return pages


async def test_what_is_added_meanwhile_moves_no_page(here: World, ada: User) -> None:
    oldest, older, newest = [await here.order(ada) for _ in range(3)]
    first = await here.videos.page(ada, limit=2)
    await here.order(ada)
    await here.videos.delete(ada, newest)
    second = await here.videos.page(ada, first.next_cursor, limit=2)
    assert [newest, older] == [video.id for video in first.items]
    assert [oldest] == [video.id for video in second.items]
    assert second.next_cursor is None


GARBAGE = st.text() | st.binary().map(lambda raw: raw.decode("latin-1")) | st.from_regex(r"[A-Za-z0-9_=-]*")


@given(GARBAGE)
def test_garbage_is_no_cursor(text: str) -> None:
    with pytest.raises(Invalid, match=r"^cursor: "):
        place_of(text)


@given(
    st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)),  # noqa: DTZ001
    st.binary(min_size=16, max_size=16).map(bytes.hex),
)
def test_a_cursor_holds_the_place_exactly(created_at: datetime, id: str) -> None:
    assert Place(created_at, id) == place_of(cursor_of(cast("Video", Place(created_at, id))))


@pytest.mark.parametrize("limit", [0, -1, 101])
async def test_a_page_holds_1_to_100(here: World, limit: int) -> None:
    with pytest.raises(Invalid, match=r"^limit: "):
        await here.videos.page(await here.user(), limit=limit)


async def test_a_finished_video_is_read_whole(here: World, ada: User) -> None:
    id = await here.order(ada)
    await finish(here, b"<svg>hello</svg>")
    async with here.videos.content(ada, id) as content:
        assert (content.media_type, content.size) == ("image/svg+xml", 16)
        assert b"".join([chunk async for chunk in content.chunks]) == b"<svg>hello</svg>"
    assert (content.video.status, content.video.progress) == ("done", 100)


async def test_an_unfinished_or_failed_video_has_no_content_and_says_why(here: World, ada: User) -> None:
    id = await here.order(ada)
    queue = render_queue(here.database, here.bell, now=here.clock)
    with pytest.raises(NotReady, match="queued"):
        await here.videos.content(ada, id).__aenter__()
    claim = await queue.claim()
    assert claim is not None
    await queue.fail(claim, "no voice")
    with pytest.raises(NotReady, match="no voice"):
        await here.videos.content(ada, id).__aenter__()


async def test_a_video_whose_file_is_lost_says_so(here: World, ada: User) -> None:
    id = await here.order(ada)
    await finish(here)
    here.shelf.content.clear()
    with pytest.raises(FileMissing):
        await here.videos.content(ada, id).__aenter__()


async def test_deleting_a_video_deletes_its_file_and_tells_who_watches(here: World, ada: User) -> None:
    id = await here.order(ada)
    await finish(here)
    with here.bell.listening(id) as change:
        await here.videos.delete(ada, id)
        assert await change.wait(0)
    assert here.shelf.content == {}
    with pytest.raises(NotFound):
        await here.videos.delete(ada, id)


async def test_a_video_is_deleted_also_when_the_file_store_is_away(
    here: World, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    id = await here.order(ada)
    await finish(here)
    here.shelf.failure = FileError("the disk is away")
    await here.videos.delete(ada, id)
    assert "its file stays" in caplog.text
    with pytest.raises(NotFound):
        await here.videos.get(ada, id)


async def test_analytics_count_by_day_and_status_and_only_ones_own(here: World) -> None:
    ada, bob = await here.user("ada"), await here.user("bob")
    await here.order(bob)
    await here.order(ada)
    await here.videos.delete(bob, (await here.videos.page(bob)).items[0].id)
    await finish(here)
    here.clock.turn(2 * 86_400)
    for _ in range(2):
        await here.order(ada)
    found = await here.videos.analytics(ada)
    assert (found.videos, found.by_status) == (3, {"done": 1, "queued": 2})
    assert (Day(date(2023, 11, 14), 1, {"done": 1}), Day(date(2023, 11, 16), 2, {"queued": 2})) == found.days
    assert found.days[1:] == (await here.videos.analytics(ada, days=2)).days
    assert (await here.videos.analytics(bob)).videos == 0


@pytest.mark.parametrize("days", [0, 367, -1])
async def test_analytics_reach_back_1_to_366_days(here: World, days: int) -> None:
    with pytest.raises(Invalid, match=r"^days: "):
        await here.videos.analytics(await here.user(), days=days)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 2), max_size=8), limit=st.integers(1, 4))
async def test_the_pages_of_any_list_are_the_list(here: World, sizes: list[int], limit: int) -> None:
    """Sizes are how many videos are ordered at one instant."""
    await here.database.execute("DELETE FROM users")  # and with them their videos
    ada = await here.user()
    made: list[Video] = []
    for size in sizes:
        here.clock.turn(1)
        made += [await here.videos.create(ada, title="x", script="x", avatar_id="chen") for _ in range(size)]
    pages = await all_pages(here, ada, limit=limit)
    assert sorted(made, key=lambda video: (video.created_at, video.id), reverse=True) == [
        video for page in pages for video in page.items
    ]
