"""Sessions are the same wherever they are kept."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncGenerator

import anyio
import pytest

from heykit.security.sessions import Session, Sessions, memory_sessions
from tests.heygen.world import START
from tests.security.sessions_world import DAY, HOUR, SessionWorld


@pytest.fixture
async def sessions(world: SessionWorld) -> AsyncGenerator[Sessions]:
    async with world.open(idle=HOUR, absolute=DAY, per_user=3, on_revoked=world.tell, now=world.clock) as opened:
        yield opened


async def ids(sessions: Sessions, user: str = "ada") -> list[str]:
    return [session.id for session in await sessions.of_user(user)]


async def test_a_session_tells_whose_it_is_from_where_and_since_when(sessions: Sessions) -> None:
    login = await sessions.start("ada", ip="192.0.2.7", user_agent="Firefox \U0001f98a")
    expected = Session(
        id=hashlib.sha256(login.secret.encode()).hexdigest(),
        user="ada",
        created_at=START,
        seen_at=START,
        ends_at=START + HOUR,
        expires_at=START + DAY,
        ip="192.0.2.7",
        user_agent="Firefox \U0001f98a",
    )
    assert login.session == expected
    assert await sessions.get(login.secret) == expected
    assert await sessions.by_id(expected.id) == expected
    assert list(await sessions.of_user("ada")) == [expected]
    assert list(await sessions.of_user("bob")) == []


async def test_no_two_secrets_are_the_same_and_none_is_shown(sessions: Sessions) -> None:
    logins = [await sessions.start("ada") for _ in range(3)]
    assert len({login.secret for login in logins}) == 3
    assert all(len(login.secret) == 22 for login in logins)
    assert all(login.secret not in repr(login) for login in logins)


@pytest.mark.parametrize(
    "secret", ["", "x", "A" * 21, "A" * 23, "\u00e4" * 22, "A" * 21 + "B", "=" * 22, "\0" * 22, "x" * 10**6]
)
async def test_what_is_no_secret_opens_nothing(sessions: Sessions, secret: str) -> None:
    await sessions.start("ada")
    assert await sessions.get(secret) is None
    assert await sessions.touch(secret) is None
    assert await sessions.renew(secret) is None
    assert await sessions.advance(secret, 0, grace=10) == ("unknown", None)
    assert not await sessions.end(secret)
    assert await sessions.by_id(secret) is None


async def test_a_secret_that_a_client_chose_opens_nothing_and_becomes_none(sessions: Sessions) -> None:
    chosen = "AAAAAAAAAAAAAAAAAAAAAA"
    assert await sessions.touch(chosen) is None
    login = await sessions.start("ada")
    assert login.secret != chosen
    assert await sessions.get(chosen) is None


async def test_the_id_of_a_session_opens_nothing(sessions: Sessions) -> None:
    login = await sessions.start("ada")
    assert await sessions.get(login.session.id) is None
    assert await sessions.get(login.session.id[:22]) is None


async def test_one_that_nobody_uses_ends_and_one_that_is_used_lives_on(sessions: Sessions, world: SessionWorld) -> None:
    used, idle = await sessions.start("ada"), await sessions.start("ada")
    for _ in range(3):
        world.clock.turn(HOUR / 2)
        assert await sessions.touch(used.secret)
    assert await sessions.get(idle.secret) is None
    assert await ids(sessions) == [used.session.id]
    world.clock.turn(HOUR - 0.001)
    assert await sessions.get(used.secret)
    world.clock.turn(0.001)
    assert await sessions.get(used.secret) is None
    assert await sessions.touch(used.secret) is None
    assert world.ended == []  # they ended by themselves


async def test_one_that_is_used_all_the_time_ends_as_well(sessions: Sessions, world: SessionWorld) -> None:
    login = await sessions.start("ada")
    for _ in range(47):
        world.clock.turn(HOUR / 2)
        assert await sessions.touch(login.secret)
    world.clock.turn(HOUR / 2 - 0.001)
    assert await sessions.touch(login.secret)
    world.clock.turn(0.001)
    assert await sessions.touch(login.secret) is None


async def test_that_it_was_seen_is_written_once_a_minute(sessions: Sessions, world: SessionWorld) -> None:
    login = await sessions.start("ada")
    for _ in range(59):
        world.clock.turn(1)
        await sessions.touch(login.secret)
    assert (await ids_seen(sessions)) == [START]
    world.clock.turn(1)
    touched = await sessions.touch(login.secret)
    assert touched is not None
    assert touched.seen_at == START + 60
    assert (await ids_seen(sessions)) == [START + 60]
    assert touched == await sessions.get(login.secret)


async def ids_seen(sessions: Sessions) -> list[float]:
    return [session.seen_at for session in await sessions.of_user("ada")]


async def test_one_more_than_may_be_ends_the_oldest(sessions: Sessions, world: SessionWorld) -> None:
    logins = []
    for _ in range(5):
        logins.append(await sessions.start("ada"))
        world.clock.turn(1)
    other = await sessions.start("bob")
    assert await ids(sessions) == [login.session.id for login in logins[2:]]
    assert [session.id for session in world.ended] == [login.session.id for login in logins[:2]]
    assert await sessions.get(logins[0].secret) is None
    assert await sessions.get(other.secret)
    assert sessions.stats()["over_limit"] == 2


async def test_those_that_have_ended_take_nobodys_place(sessions: Sessions, world: SessionWorld) -> None:
    for _ in range(3):
        await sessions.start("ada")
    world.clock.turn(HOUR)
    logins = [await sessions.start("ada") for _ in range(3)]
    assert sorted(await ids(sessions)) == sorted(login.session.id for login in logins)
    assert world.ended == []


async def test_many_logins_at_once_keep_to_the_limit(sessions: Sessions) -> None:
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(sessions.start, "ada")
    assert len(await ids(sessions)) == 3
    assert sessions.stats()["started"] == 20
    assert sessions.stats()["over_limit"] == 17


async def test_ending_one_ends_it_alone_and_is_told_once(sessions: Sessions, world: SessionWorld) -> None:
    gone, stays = await sessions.start("ada"), await sessions.start("ada")
    assert await sessions.end(gone.session.id)
    assert not await sessions.end(gone.session.id)
    assert await sessions.get(gone.secret) is None
    assert await ids(sessions) == [stays.session.id]
    assert world.ended == [gone.session]


async def test_nobody_ends_the_session_of_another(sessions: Sessions) -> None:
    login = await sessions.start("ada")
    assert not await sessions.end(login.session.id, user="bob")
    assert await sessions.get(login.secret)
    assert await sessions.end(login.session.id, user="ada")


@pytest.mark.parametrize("id", ["", "x", "0" * 64, "\u00e4" * 64])
async def test_ending_what_is_not_there_does_nothing(sessions: Sessions, id: str) -> None:
    assert not await sessions.end(id)
    assert await sessions.by_id(id) is None


async def test_ending_all_ends_all_of_one_user_and_begins_an_epoch(sessions: Sessions, world: SessionWorld) -> None:
    logins = [await sessions.start("ada") for _ in range(3)]
    other = await sessions.start("bob")
    assert await sessions.epoch("ada") == 0
    assert await sessions.end_all("ada") == 3
    assert await sessions.end_all("ada") == 0
    assert await ids(sessions) == []
    assert [await sessions.get(login.secret) for login in logins] == [None] * 3
    assert await sessions.get(other.secret)
    assert sorted(session.id for session in world.ended) == sorted(login.session.id for login in logins)
    assert (await sessions.epoch("ada"), await sessions.epoch("bob")) == (2, 0)
    assert (await sessions.start("ada")).session.epoch == 2


async def test_ending_all_others_keeps_one(sessions: Sessions, world: SessionWorld) -> None:
    logins = [await sessions.start("ada") for _ in range(3)]
    assert await sessions.end_all("ada", keep=logins[1].session.id) == 2
    kept = await sessions.get(logins[1].secret)
    assert kept is not None
    assert kept.epoch == 1
    assert await ids(sessions) == [kept.id]
    assert logins[1].session.id not in [session.id for session in world.ended]


async def test_nobody_keeps_the_session_of_another(sessions: Sessions) -> None:
    other = await sessions.start("bob")
    await sessions.start("ada")
    assert await sessions.end_all("ada", keep=other.session.id) == 1
    kept = await sessions.get(other.secret)
    assert kept == other.session


async def test_a_login_and_the_end_of_all_that_meet_leave_no_session_of_the_old_epoch(sessions: Sessions) -> None:
    for _ in range(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.start, "ada")
            tasks.start_soon(sessions.end_all, "ada")
        epoch = await sessions.epoch("ada")
        assert all(session.epoch == epoch for session in await sessions.of_user("ada"))


async def test_a_new_secret_ends_the_old_one_and_the_session_is_as_old_as_before(
    sessions: Sessions, world: SessionWorld
) -> None:
    login = await sessions.start("ada", ip="192.0.2.7", user_agent="Firefox")
    await sessions.advance(login.session.id, 0, grace=10)
    world.clock.turn(100)
    renewed = await sessions.renew(login.secret)
    assert renewed is not None
    assert await sessions.get(login.secret) is None
    assert await sessions.renew(login.secret) is None
    session = await sessions.get(renewed.secret)
    assert session == renewed.session
    assert session.id != login.session.id
    assert (session.created_at, session.expires_at, session.seen_at) == (START, START + DAY, START + 100)
    assert (session.ip, session.user_agent, session.generation) == ("192.0.2.7", "Firefox", 0)
    assert [each.id for each in world.ended] == [login.session.id]
    assert await ids(sessions) == [session.id]


async def test_of_many_that_renew_at_once_one_does(sessions: Sessions) -> None:
    login = await sessions.start("ada")
    renewed = []

    async def renew() -> None:
        renewed.append(await sessions.renew(login.secret))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(renew)
    assert sum(each is not None for each in renewed) == 1
    assert len(await ids(sessions)) == 1


async def test_a_generation_follows_the_other_and_the_one_before_has_its_grace(
    sessions: Sessions, world: SessionWorld
) -> None:
    login = await sessions.start("ada")
    outcome, session = await sessions.advance(login.session.id, 0, grace=10)
    assert outcome == "rotated"
    assert session is not None
    assert (session.generation, session.rotated_at) == (1, START)
    assert await sessions.get(login.secret) == session
    world.clock.turn(10)
    assert await sessions.advance(login.session.id, 0, grace=10) == ("repeated", session)
    assert await sessions.advance(login.session.id, 2, grace=10) == ("unknown", None)
    assert (await sessions.advance(login.session.id, 1, grace=10))[0] == "rotated"


@pytest.mark.parametrize(("generation", "turned"), [(0, 10.001), (0, 10**4)])
async def test_one_that_comes_after_its_grace_ends_the_session(
    sessions: Sessions, world: SessionWorld, generation: int, turned: float
) -> None:
    login = await sessions.start("ada")
    await sessions.advance(login.session.id, 0, grace=10)
    world.clock.turn(min(turned, HOUR - 1))
    assert (await sessions.advance(login.session.id, generation, grace=10))[0] == "reused"
    assert await sessions.get(login.secret) is None
    assert len(world.ended) == 1
    assert sessions.stats()["reused"] == 1
    assert await sessions.advance(login.session.id, 1, grace=10) == ("unknown", None)


async def test_one_of_two_generations_before_ends_the_session_at_once(sessions: Sessions) -> None:
    login = await sessions.start("ada")
    await sessions.advance(login.session.id, 0, grace=10)
    await sessions.advance(login.session.id, 1, grace=10)
    assert (await sessions.advance(login.session.id, 0, grace=10))[0] == "reused"
    assert await ids(sessions) == []


async def test_of_twenty_that_advance_at_once_one_rotates_and_all_learn_the_same(sessions: Sessions) -> None:
    logins = [await sessions.start(f"user {number}") for number in range(100)]
    outcomes: dict[str, list[tuple[str, int]]] = {login.session.id: [] for login in logins}

    async def advance(id: str) -> None:
        outcome, session = await sessions.advance(id, 0, grace=10)
        assert session is not None
        outcomes[id].append((outcome, session.generation))

    async with anyio.create_task_group() as tasks:
        for login in logins:
            for _ in range(20):
                tasks.start_soon(advance, login.session.id)
    for login in logins:
        assert Counter(outcomes[login.session.id]) == {("rotated", 1): 1, ("repeated", 1): 19}
        session = await sessions.get(login.secret)
        assert session is not None
        assert session.generation == 1


async def test_what_a_client_says_of_itself_is_cut_to_what_can_be_shown(sessions: Sessions) -> None:
    login = await sessions.start("ada", ip="x" * 500, user_agent="a\0b\ud800c\nd\x1b[31m" + "e" * 1000)
    session = await sessions.get(login.secret)
    assert session == login.session
    assert len(session.ip) == 64
    assert session.user_agent.startswith("abcd[31me")
    assert len(session.user_agent) == 256


@pytest.mark.parametrize(
    "user", ["ada lovelace", "\u00fc\u4e2d", "a:b", "'; DROP TABLE heykit_sessions; --", "\u4e2d" * 255]
)
async def test_a_user_may_be_named_anything(sessions: Sessions, user: str) -> None:
    login = await sessions.start(user)
    await sessions.start("other")
    assert await ids(sessions, user) == [login.session.id]
    assert await sessions.end_all(user) == 1


@pytest.mark.parametrize("user", ["", "a\0b", "\ud800", "x" * 256])
async def test_what_is_no_users_id_is_refused_by_every_store_alike(sessions: Sessions, user: str) -> None:
    for call in (sessions.start, sessions.of_user, sessions.end_all, sessions.epoch):
        with pytest.raises(ValueError, match="of a user"):
            await call(user)


@pytest.mark.parametrize("id", ["a\0b", "\ud800", "A" * 64, "0" * 63, "0" * 65, "\u0660" * 64, "0" * 63 + "\n"])
async def test_what_is_no_id_is_asked_of_no_store(sessions: Sessions, id: str) -> None:
    assert await sessions.by_id(id) is None
    assert not await sessions.end(id)
    assert await sessions.advance(id, 0, grace=10) == ("unknown", None)


async def test_health_counts_those_that_live(sessions: Sessions, world: SessionWorld) -> None:
    first = await sessions.start("ada")
    await sessions.start("bob")
    await sessions.end(first.session.id)
    health = await sessions.health()
    assert (health.status, health.kind) == ("pass", "security")
    assert health.figures["active"] == 1
    assert health.figures["started"] == 2
    assert health.figures["ended"] == 1


async def test_one_who_is_told_and_fails_stops_nothing(world: SessionWorld, caplog: pytest.LogCaptureFixture) -> None:
    async def fails(session: Session) -> None:
        raise RuntimeError("no")

    async with world.open(on_revoked=fails) as sessions:
        logins = [await sessions.start("ada") for _ in range(2)]
        assert await sessions.end_all("ada") == 2
        assert await sessions.get(logins[0].secret) is None
    assert caplog.text.count("on_revoked failed") == 2


async def test_who_leaves_while_a_session_ends_leaves_none_half_ended(world: SessionWorld) -> None:
    told = anyio.Event()

    async def slow(session: Session) -> None:
        await anyio.sleep(0.01)
        told.set()

    async with world.open(on_revoked=slow) as sessions:
        login = await sessions.start("ada")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sessions.end, login.session.id)
            await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()
        if await sessions.get(login.secret) is None:
            assert told.is_set()


async def test_two_openings_of_one_store_see_the_same(world: SessionWorld, request: pytest.FixtureRequest) -> None:
    if "memory" in request.node.name:
        async with memory_sessions() as one, memory_sessions() as other:
            assert await other.get((await one.start("ada")).secret) is None
        return
    async with world.open() as one, world.open() as other:
        login = await one.start("ada")
        assert await other.get(login.secret) == login.session
        assert await other.end_all("ada") == 1
        assert await one.get(login.secret) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"idle": 0}, {"idle": -1}, {"idle": float("nan")}, {"idle": float("inf")}, {"absolute": 0},
        {"absolute": float("nan")}, {"per_user": 0}, {"per_user": -1},
    ],
)  # fmt: skip
async def test_rules_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await memory_sessions(**wrong).__aenter__()  # type: ignore[arg-type]


async def test_memory_forgets_those_that_ended(world: SessionWorld, request: pytest.FixtureRequest) -> None:
    async with world.open(idle=10, now=world.clock) as sessions:
        for number in range(2500):
            await sessions.start(f"user {number % 500}")
            world.clock.turn(1)
        active = (await sessions.health()).figures["active"]
        assert isinstance(active, int)
        assert active <= (1500 if "memory" in request.node.name else 10)
