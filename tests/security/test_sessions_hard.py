"""Logins, sessions and passwords at awkward moments: found by reading as an attacker does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

import anyio
import pytest
from anyio import CapacityLimiter

from heykit.database import Database, connect
from heykit.errors import KeyRefused, TokenError, Unavailable
from heykit.resources import Redis
from heykit.security import passwords as passwords_module
from heykit.security.audit import LoggedIn, PasswordChanged, RefreshTokenReused, SecurityEvent, SessionEnded
from heykit.security.keys import generate_key, key_from_jwk, key_from_secret
from heykit.security.logins import Logins, login_service
from heykit.security.remote_keys import remote_key_set
from heykit.security.sessions import Session, Sessions, database_sessions, memory_sessions, redis_sessions
from heykit.security.throttle import database_throttle
from heykit.security.tokens import Tokens, token_issuer
from tests.heygen.world import START, Clock
from tests.security.members import EasyPasswords, People, Person, people
from tests.security.refusals import refused
from tests.security.sessions_world import DAY, SessionWorld, empty
from tests.security.test_remote_keys import OLD, URL, Service, signed

KEY = key_from_secret(b"k" * 32)


# Logins


@dataclass
class Gate:
    """Lets through what waits at it, once it is opened."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        self.reached.set()
        await self.opened.wait()


class GatedPasswords(EasyPasswords):
    """Passwords of which one check waits at a gate, after it was made."""

    gate: Gate | None = None

    async def verify(self, password: str, hashed: str | None, /) -> bool:
        found = await super().verify(password, hashed)
        gate, self.gate = self.gate, None
        if gate is not None:
            await gate.pass_through()
        return found


class Interrupted(People):
    """A store that does something at the moment at which a hash is stored."""

    at_change: Callable[[], Awaitable[None]] | None = None

    async def change_password_hash(self, member: Person, hashed: str, /) -> bool:
        changed = await super().change_password_hash(member, hashed)
        if self.at_change is not None:
            await self.at_change()
        return changed


@dataclass
class Office:
    logins: Logins
    sessions: Sessions
    members: Interrupted
    passwords: GatedPasswords
    events: list[SecurityEvent]


@pytest.fixture
async def office() -> AsyncGenerator[Office]:
    events: list[SecurityEvent] = []
    members, hashes = Interrupted(*people().people.values()), GatedPasswords()
    async with memory_sessions() as sessions:
        tokens = token_issuer(KEY, sessions, KEY, issuer="us", audience="api", audit=events.append)
        logins = login_service(members, hashes, sessions, tokens, audit=events.append)
        yield Office(logins, sessions, members, hashes, events)


async def test_a_login_with_the_old_password_during_its_change_keeps_no_session(office: Office) -> None:
    office.passwords.gate = gate = Gate()
    slow = asyncio.create_task(office.logins.log_in("ada", "correct horse"))
    await gate.reached.wait()
    changed = await office.logins.change_password("7", "correct horse", "another one")
    assert changed is not None
    gate.opened.set()
    assert await slow is None
    assert [session.id for session in await office.sessions.of_user("7")] == [changed.session.id]


async def test_of_two_changes_with_the_same_password_the_later_does_nothing(office: Office) -> None:
    office.passwords.gate = gate = Gate()
    thief = asyncio.create_task(office.logins.change_password("7", "correct horse", "the thief's own"))
    await gate.reached.wait()
    assert await office.logins.change_password("7", "correct horse", "another one") is not None
    gate.opened.set()
    assert await thief is None
    assert office.members.people["7"].password_hash == "hashed another one"
    assert await office.logins.log_in("ada", "another one") is not None


async def test_an_outdated_hash_is_no_reason_for_a_change_to_fail(office: Office) -> None:
    assert await office.logins.change_password("9", "correct horse", "another one") is not None
    assert office.members.people["9"].password_hash == "hashed another one"


@pytest.mark.parametrize("natively", [True, False])
async def test_who_leaves_while_a_password_changes_leaves_no_session_of_before(
    office: Office, *, natively: bool
) -> None:
    stolen = await office.logins.log_in("ada", "correct horse")
    assert stolen is not None
    task: asyncio.Task[object]
    limit = anyio.CancelScope()

    async def leave() -> None:
        if natively:
            task.cancel()
        else:
            limit.cancel()
        await asyncio.sleep(0)

    async def change() -> None:
        with limit:
            await office.logins.change_password("7", "correct horse", "another one")

    office.members.at_change = leave
    task = asyncio.create_task(change())
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert office.members.people["7"].password_hash == "hashed another one"
    assert await office.sessions.by_id(stolen.session.id) is None
    kinds = [type(event) for event in office.events]
    assert kinds[1:3] == [PasswordChanged, SessionEnded]


class AwayAtEnd:
    """Sessions that cannot be ended."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def __getattr__(self, name: str) -> object:
        if name == "end_all":
            raise Unavailable("their store is away")
        return getattr(self._sessions, name)


async def test_where_sessions_cannot_be_ended_the_password_stays(office: Office) -> None:
    away: Sessions = AwayAtEnd(office.sessions)  # type: ignore[assignment]
    tokens = token_issuer(KEY, away, KEY, issuer="us", audience="api")
    logins = login_service(office.members, office.passwords, away, tokens)
    assert await logins.log_in("ada", "correct horse") is not None
    with pytest.raises(Unavailable):
        await logins.change_password("7", "correct horse", "another one")
    assert office.members.people["7"].password_hash == "hashed correct horse"


async def test_who_is_gone_refreshes_nothing_and_has_no_session(office: Office) -> None:
    pair = await office.logins.log_in("ada", "correct horse")
    assert pair is not None
    del office.members.people["7"]
    with refused("token.refresh"):
        await office.logins.refresh(pair.refresh_token)
    assert await office.sessions.of_user("7") == []


async def test_of_many_who_log_in_at_once_with_an_outdated_hash_all_do(office: Office) -> None:
    pairs = await asyncio.gather(*(office.logins.log_in("old", "correct horse") for _ in range(5)))
    assert all(pair is not None for pair in pairs)
    assert len(await office.sessions.of_user("9")) == 5


async def test_a_change_that_is_refused_ends_no_session_of_who_was_faster(office: Office) -> None:
    office.passwords.gate = gate = Gate()
    slow = asyncio.create_task(office.logins.change_password("7", "correct horse", "the thief's own"))
    await gate.reached.wait()
    changed = await office.logins.change_password("7", "correct horse", "another one")
    gate.opened.set()
    assert await slow is None
    assert changed is not None
    assert await office.logins.refresh(changed.refresh_token)  # type: ignore[truthy-bool]


async def test_where_members_are_away_a_refresh_token_can_be_shown_again_much_later() -> None:
    clock, members, events = Clock(), people(), list[SecurityEvent]()
    async with memory_sessions(now=clock) as sessions:
        tokens = issuer(sessions, events, clock)
        logins = login_service(members, EasyPasswords(), sessions, tokens, now=clock)
        pair = await logins.log_in("ada", "correct horse")
        assert pair is not None
        by_id = members.by_id

        async def away(id: str, /) -> Person | None:
            raise Unavailable("the database is away")

        members.by_id = away  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            await logins.refresh(pair.refresh_token)
        members.by_id = by_id  # type: ignore[method-assign]
        clock.turn(3600)
        await logins.refresh(pair.refresh_token)
    assert not any(isinstance(event, RefreshTokenReused) for event in events)


@pytest.mark.parametrize("how", ["end", "end_all", "revoke"])
async def test_who_leaves_while_a_session_ends_does_not_keep_it_from_the_audit(how: str) -> None:
    events: list[SecurityEvent] = []

    async def slow(session: Session) -> None:
        await asyncio.sleep(0.02)

    async with memory_sessions(on_revoked=slow) as sessions:
        tokens = token_issuer(KEY, sessions, KEY, issuer="us", audience="api", audit=events.append)
        logins = login_service(people(), EasyPasswords(), sessions, tokens, audit=events.append)
        pair = await logins.log_in("ada", "correct horse")
        assert pair is not None
        calls = {
            "end": lambda: logins.end(pair.session.id, "7"),
            "end_all": lambda: logins.end_all("7"),
            "revoke": lambda: logins.revoke(pair.refresh_token),
        }
        task = asyncio.create_task(calls[how]())  # type: ignore[no-untyped-call]
        await asyncio.sleep(0.005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert await sessions.of_user("7") == []
    assert isinstance(events[-1], SessionEnded)


# Tokens


def issuer(sessions: Sessions, events: list[SecurityEvent], clock: Clock) -> Tokens:
    return token_issuer(KEY, sessions, KEY, issuer="us", audience="api", audit=events.append, now=clock)


async def test_a_clock_that_is_set_back_prolongs_no_grace(world: SessionWorld) -> None:
    async with world.open(now=world.clock) as sessions:
        tokens = issuer(sessions, [], world.clock)
        pair = await tokens.issue("7")
        world.clock.turn(7200)
        await tokens.refresh(pair.refresh_token)
        world.clock.turn(-3600)
        with refused("token.reused"):
            await tokens.refresh(pair.refresh_token)


async def test_a_thief_who_leaves_at_once_is_told_of_all_the_same(world: SessionWorld) -> None:
    events: list[SecurityEvent] = []
    async with world.open(now=world.clock) as sessions:
        tokens = issuer(sessions, events, world.clock)
        pair = await tokens.issue("7")
        await tokens.refresh(pair.refresh_token)
        world.clock.turn(100)
        for _ in range(50):
            task = asyncio.create_task(tokens.refresh(pair.refresh_token))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, TokenError):
                await task
            if not await sessions.of_user("7"):
                break
        assert await sessions.of_user("7") == []
        assert sum(isinstance(event, RefreshTokenReused) for event in events) == 1


async def test_who_leaves_while_they_log_in_leaves_no_session(world: SessionWorld) -> None:
    async with world.open(now=world.clock) as sessions:
        tokens = issuer(sessions, [], world.clock)
        for steps in range(12):
            task = asyncio.create_task(tokens.issue("7"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                pair = await task
            except asyncio.CancelledError:
                pair = None
            assert len(await sessions.of_user("7")) == (0 if pair is None else 1)
            await sessions.end_all("7")


async def test_keys_that_cannot_do_their_work_are_refused_before_anybody_logs_in() -> None:
    verifying = key_from_jwk({"kty": "oct", "alg": "HS256", "k": "a" * 42 + "A", "key_ops": ["verify"]})
    public = key_from_jwk(generate_key("ES256").public_jwk())
    async with memory_sessions() as sessions:
        for keys, refresh_keys in ((KEY, verifying), (public, KEY)):
            with pytest.raises(KeyRefused):
                token_issuer(keys, sessions, refresh_keys, issuer="us", audience="api")


async def test_a_refresh_token_opens_nothing_that_is_kept_by_cookie(world: SessionWorld) -> None:
    async with world.open(now=world.clock) as sessions:
        token = (await issuer(sessions, [], world.clock).issue("7")).refresh_token
        for at in range(len(token) - 21):
            assert await sessions.get(token[at : at + 22]) is None


async def test_an_event_holds_no_more_of_a_client_than_can_be_shown() -> None:
    events: list[SecurityEvent] = []
    async with memory_sessions() as sessions:
        tokens = issuer(sessions, events, Clock())
        pair = await tokens.issue("7", ip="x" * 10**6, user_agent="\0\x1b[31m\ud800" + "y" * 10**6)
        await tokens.refresh(pair.refresh_token, ip="x" * 10**6, user_agent="y" * 10**6)
    assert isinstance(events[0], LoggedIn)
    assert all(len(event.ip) == 64 and len(event.user_agent) == 256 for event in events)
    assert events[0].user_agent.startswith("[31my")


# Redis


async def test_what_ended_stays_so_however_long_redis_keeps_what(redis: Redis) -> None:
    async with redis_sessions(redis, prefix="s:") as sessions:
        login = await sessions.start("ada")
        await redis.execute("PEXPIRE", "s:u:ada", 1)  # as where the rules had been others
        await anyio.sleep(0.01)
        await sessions.end_all("ada")
        assert await redis.execute("PTTL", "s:e:ada") == -1
        assert await sessions.get(login.secret) is None
        assert await sessions.end_all("ada") == 0
        assert await sessions.get(login.secret) is None


async def test_a_session_that_is_not_there_any_more_is_not_kept_either(redis: Redis) -> None:
    async with redis_sessions(redis, prefix="s:") as sessions:
        login = await sessions.start("ada")
        await redis.execute("HSET", f"s:s:{login.session.id}", "epoch", "7")  # of another epoch
        assert await sessions.of_user("ada") == []
        assert await redis.execute("EXISTS", f"s:s:{login.session.id}") == 0


async def test_names_in_redis_end_with_their_sessions(redis: Redis) -> None:
    clock = Clock()
    async with redis_sessions(redis, prefix="s:", absolute=30 * DAY, now=clock) as sessions:
        login = await sessions.start("ada")
        for _ in range(3):
            renewed = await sessions.renew(login.secret)
            assert renewed is not None
            login = renewed
        left = await redis.execute("PTTL", "s:u:ada")
        assert isinstance(left, int)
        assert 30 * DAY * 1000 < left <= 31 * DAY * 1000
    async with redis_sessions(redis, prefix="s:", absolute=3600, idle=3600, now=clock) as sessions:
        await sessions.start("ada")  # under shorter rules, while longer sessions are there
        assert await redis.execute("PTTL", "s:u:ada") in range(left - 60_000, left + 1)


# Databases


@pytest.fixture
async def postgres(session_store: tuple[str, str]) -> AsyncGenerator[Database | None]:
    kind, url = session_store
    if kind != "postgres":
        yield None
        return
    async with connect(url, max_connections=20, command_timeout=20) as database:
        await empty(database)
        yield database


async def test_what_is_counted_or_used_at_this_moment_is_not_swept_away(postgres: Database | None) -> None:
    if postgres is None:
        return  # no other store has transactions that wait for each other
    now = START
    await postgres.execute("INSERT INTO heykit_throttle VALUES ('account:x', $1)", now - 1)
    async with database_sessions(postgres, idle=100, now=lambda: now - 99.9) as sessions:
        login = await sessions.start("ada")
    async with (
        database_throttle(postgres, now=lambda: now) as throttle,
        database_sessions(postgres, idle=100, now=lambda: now + 0.2) as sessions,
        anyio.create_task_group() as tasks,
        postgres.transaction() as transaction,
    ):
        await transaction.execute("UPDATE heykit_throttle SET paid_at = $1 WHERE name = 'account:x'", now + 900)
        await transaction.execute("UPDATE heykit_sessions SET ends_at = $1", now + 100)
        tasks.start_soon(throttle.attempt, "other", "192.0.2.7")
        tasks.start_soon(sessions.start, "other")
        await anyio.sleep(0.3)  # both have come to their sweeping, and wait
    assert await postgres.fetch_value("SELECT count(*) FROM heykit_throttle WHERE name = 'account:x'") == 1
    async with database_sessions(postgres, idle=100, now=lambda: now + 0.2) as sessions:
        assert await sessions.get(login.secret)


async def test_many_logins_over_many_that_ended_meet_without_harm(postgres: Database | None) -> None:
    if postgres is None:
        return
    clock = Clock()
    async with database_sessions(postgres, idle=10, per_user=5, now=clock) as sessions:
        for number in range(300):
            await sessions.start(f"user {number % 40}")
        clock.turn(100)

        async def come_and_go(number: int) -> None:
            for _ in range(10):
                await sessions.start(f"user {number % 5}")
                if number % 3 == 0:
                    await sessions.end_all(f"user {number % 5}")

        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(come_and_go, number)
        for number in range(5):
            assert len(await sessions.of_user(f"user {number}")) <= 5


async def test_a_login_and_a_new_secret_that_meet_keep_to_the_limit(postgres: Database | None) -> None:
    if postgres is None:
        return
    async with database_sessions(postgres, per_user=2) as sessions:
        for _ in range(20):
            logins = [await sessions.start("ada") for _ in range(2)]
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.renew, logins[0].secret)
                tasks.start_soon(sessions.start, "ada")
            assert len(await sessions.of_user("ada")) <= 2
            await sessions.end_all("ada")


# What is told


async def test_one_who_is_told_and_never_returns_holds_nobody_up_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heykit.security._sessions._TELLING", 0.05)

    async def forever(session: Session) -> None:
        await anyio.sleep_forever()

    async with memory_sessions(on_revoked=forever) as sessions:
        login = await sessions.start("ada")
        with anyio.fail_after(5):
            assert await sessions.end(login.session.id)


# Passwords


async def test_no_more_are_hashed_at_once_than_may_be_however_their_clients_leave() -> None:
    running, most = 0, 0
    lock = threading.Lock()

    class Slow:
        name = "slow"

        def hashed(self, password: bytes, salt: bytes) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            threading.Event().wait(0.02)
            with lock:
                running -= 1
            return "x"

        def reads(self, stored: str) -> bool:
            return False

        def is_current(self, stored: str) -> bool:
            return False

        def matches(self, password: bytes, stored: str) -> bool:
            return False

    made = passwords_module._Passwords([Slow()], CapacityLimiter(1), bytes)
    tasks = [asyncio.create_task(made.verify("x", None)) for _ in range(10)]
    for task in tasks:
        await asyncio.sleep(0.005)
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert most == 1
    assert (await made.health()).figures["waiting"] == 0


async def test_a_hash_that_took_less_work_takes_no_less_to_refuse() -> None:
    class Counted:
        name = "counted"
        calls: list[str]

        def __init__(self) -> None:
            self.calls = []

        def hashed(self, password: bytes, salt: bytes) -> str:
            self.calls.append("hash")
            return "new"

        def reads(self, stored: str) -> bool:
            return True

        def is_current(self, stored: str) -> bool:
            return stored == "new"

        def matches(self, password: bytes, stored: str) -> bool:
            self.calls.append("check")
            return True

    scheme = Counted()
    made = passwords_module._Passwords([scheme], CapacityLimiter(1), bytes)
    assert await made.verify("x", "new")
    assert await made.verify("x", "old")
    assert not await made.verify("x", None)
    assert scheme.calls == ["check", "check", "hash", "hash"]


# Keys of others


async def test_clients_that_leave_make_us_ask_no_more_often() -> None:
    service = Service()
    service.publish(OLD)
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        await remote.keys_for(signed(OLD))
    service.asked.clear()
    service.pause = 0.05
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        for _ in range(20):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.005):
                    await remote.keys_for(signed(OLD))
        assert await remote.keys_for(signed(OLD))
    assert len(service.asked) == 1


async def test_who_closes_while_it_asks_waits_for_nothing() -> None:
    service = Service(pause=60)
    service.publish(OLD)
    with anyio.fail_after(5):
        async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await remote.keys_for(signed(OLD))


@pytest.mark.parametrize(
    "odd",
    [{"kid": "z"}, None, 5, [], {"kty": 5}, {"kty": "EC", "crv": 5}, dict(OLD.public_jwk())],
    ids=["no kty", "null", "number", "list", "kty a number", "crv a number", "the same again"],
)
async def test_one_odd_key_of_theirs_is_left_out(odd: object) -> None:
    service = Service(body=json.dumps({"keys": [odd, dict(OLD.public_jwk()), odd]}).encode())
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        assert [key.id for key in await remote.keys_for(signed(OLD))] == ["old"]


async def test_secrets_among_public_keys_are_not_taken() -> None:
    mixed = [dict(OLD.public_jwk()), {"kty": "oct", "alg": "HS256", "kid": "s", "k": "a" * 42 + "A"}]
    service = Service(body=json.dumps({"keys": mixed}).encode())
    async with remote_key_set(URL, service, algorithms=["ES256", "HS256"]) as remote:
        with pytest.raises(Unavailable):
            await remote.keys_for(signed(OLD))


async def test_who_waits_for_keys_that_are_closed_is_told_that_they_are_away() -> None:
    service = Service(pause=60)
    service.publish(OLD)
    async with remote_key_set(URL, service, algorithms=["ES256"]) as remote:
        waiting = asyncio.create_task(remote.keys_for(signed(OLD)))
        await asyncio.sleep(0.01)
    with pytest.raises(Unavailable):
        await waiting


async def test_a_start_that_is_left_leaves_no_session(world: SessionWorld) -> None:
    async with world.open() as sessions:
        for steps in range(12):
            task = asyncio.create_task(sessions.start("ada"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            try:
                started = await task
            except asyncio.CancelledError:
                started = None
            assert len(await sessions.of_user("ada")) == (0 if started is None else 1)
            await sessions.end_all("ada")


async def test_a_new_secret_and_the_end_of_all_others_agree_on_the_epoch(world: SessionWorld) -> None:
    async with world.open() as sessions:
        for _ in range(20):
            login = await sessions.start("ada")
            renewed, _ = await asyncio.gather(
                sessions.renew(login.secret), sessions.end_all("ada", keep=login.session.id)
            )
            epoch = await sessions.epoch("ada")
            listed = await sessions.of_user("ada")
            assert all(session.epoch == epoch for session in listed)
            if renewed is not None and listed:
                assert listed == [renewed.session] or renewed.session.epoch < epoch
            await sessions.end_all("ada")


async def test_a_session_that_is_ended_while_all_others_are_has_ended(world: SessionWorld) -> None:
    async with world.open() as sessions:
        for _ in range(40):
            login = await sessions.start("ada")
            _, ended = await asyncio.gather(
                sessions.end_all("ada", keep=login.session.id), sessions.end(login.session.id)
            )
            assert ended
            assert await sessions.get(login.secret) is None


class Sweepless:
    """A database whose sweeping fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> object:
        return getattr(self._database, name)

    async def execute(self, sql: str, *args: object) -> int:
        if "ends_at <= $1" in sql or "paid_at <= $1" in sql:
            raise Unavailable("away for a moment")
        return await self._database.execute(sql, *args)


async def test_a_sweep_that_fails_fails_no_login(postgres: Database | None, caplog: pytest.LogCaptureFixture) -> None:
    if postgres is None:
        return
    sweepless: Database = Sweepless(postgres)  # type: ignore[assignment]
    async with database_sessions(sweepless) as sessions, database_throttle(sweepless) as throttle:
        login = await sessions.start("ada")
        await throttle.attempt("ada", "192.0.2.7")
        assert await sessions.get(login.secret)
    assert caplog.text.count("stay for now") == 2
