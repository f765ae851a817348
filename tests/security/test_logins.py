"""Logging in and out, all parts put together."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import anyio
import pytest

from heykit.errors import Throttled
from heykit.security.audit import LoggedIn, LoginFailed, PasswordChanged, SecurityEvent, SessionEnded
from heykit.security.keys import key_from_secret
from heykit.security.logins import Logins, WeakPassword, check_password, login_service
from heykit.security.sessions import Sessions, memory_sessions
from heykit.security.throttle import Limit, memory_throttle
from heykit.security.tokens import token_issuer
from tests.heygen.world import START, Clock
from tests.security.members import EasyPasswords, People, people
from tests.security.refusals import refused

KEY = key_from_secret(b"k" * 32)
WHO = {"ip": "192.0.2.7", "user_agent": "Firefox"}


@dataclass
class Office:
    logins: Logins
    sessions: Sessions
    people: People
    passwords: EasyPasswords
    clock: Clock
    events: list[SecurityEvent] = field(default_factory=list)


@pytest.fixture
async def office() -> AsyncGenerator[Office]:
    clock, events, passwords, members = Clock(), list[SecurityEvent](), EasyPasswords(), people()
    async with (
        memory_sessions(now=clock) as sessions,
        memory_throttle(account=Limit(3, per=60), now=clock) as throttle,
    ):
        tokens = token_issuer(KEY, sessions, KEY, issuer="us", audience="api", audit=events.append, now=clock)
        logins = login_service(members, passwords, sessions, tokens, throttle=throttle, audit=events.append, now=clock)
        yield Office(logins, sessions, members, passwords, clock, events)


async def test_the_right_password_gives_tokens_of_a_new_session(office: Office) -> None:
    pair = await office.logins.log_in("ada", "correct horse", ip="192.0.2.7", user_agent="Firefox")
    assert pair is not None
    assert (pair.session.user, pair.session.ip, pair.session.user_agent) == ("7", "192.0.2.7", "Firefox")
    assert office.events == [
        LoggedIn(at=START, user="7", session=pair.session.id, ip="192.0.2.7", user_agent="Firefox")
    ]
    again = await office.logins.log_in("ada", "correct horse")
    assert again is not None
    assert again.session.id != pair.session.id


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", "correct horse"), ("", "")])
async def test_a_wrong_one_gives_nothing_and_is_told(office: Office, name: str, password: str) -> None:
    assert await office.logins.log_in(name, password, ip="192.0.2.7", user_agent="Firefox") is None
    account = name if name == "ada" else None
    assert office.events == [LoginFailed(at=START, ip="192.0.2.7", user_agent="Firefox", account=account)]
    assert office.sessions.stats()["started"] == 0


async def test_an_outdated_hash_is_replaced_by_logging_in(office: Office) -> None:
    assert await office.logins.log_in("old", "correct horse") is not None
    assert office.people.people["9"].password_hash == "hashed correct horse"
    assert await office.logins.log_in("old", "correct horse") is not None


async def test_too_many_attempts_are_refused_whoever_they_come_from(office: Office) -> None:
    for _ in range(3):
        await office.logins.log_in("ada", "wrong")
    checked = office.passwords.checked
    with pytest.raises(Throttled):
        await office.logins.log_in("ada", "correct horse")
    assert office.passwords.checked == checked
    assert await office.logins.log_in("bob", "battery staple") is not None


async def test_another_password_ends_all_sessions_and_starts_one(office: Office) -> None:
    pairs = [await office.logins.log_in("ada", "correct horse") for _ in range(3)]
    other = await office.logins.log_in("bob", "battery staple")
    office.events.clear()
    pair = await office.logins.change_password("7", "correct horse", "a longer one", ip="192.0.2.7")
    assert pair is not None
    assert [session.id for session in await office.sessions.of_user("7")] == [pair.session.id]
    for before in pairs:
        assert before is not None
        with refused("token.refresh"):
            await office.logins.refresh(before.refresh_token)
    assert other is not None
    assert await office.sessions.by_id(other.session.id)
    assert office.events[:3] == [
        PasswordChanged(at=START, user="7", ip="192.0.2.7"),
        SessionEnded(at=START, user="7", ip="192.0.2.7", reason="password changed"),
        LoggedIn(at=START, user="7", session=pair.session.id, ip="192.0.2.7"),
    ]
    assert await office.logins.log_in("ada", "correct horse") is None
    assert await office.logins.log_in("ada", "a longer one") is not None


async def test_without_the_current_password_it_stays_and_nothing_ends(office: Office) -> None:
    await office.logins.log_in("ada", "correct horse")
    assert await office.logins.change_password("7", "wrong", "a longer one") is None
    assert await office.logins.change_password("unknown", "correct horse", "a longer one") is None
    assert len(await office.sessions.of_user("7")) == 1
    assert await office.logins.log_in("ada", "correct horse") is not None


async def test_the_current_password_cannot_be_tried_there_without_limit(office: Office) -> None:
    for _ in range(3):
        assert await office.logins.change_password("7", "wrong", "a longer one") is None
    with pytest.raises(Throttled):
        await office.logins.change_password("7", "correct horse", "a longer one")


async def test_of_two_that_change_it_at_once_one_does(office: Office) -> None:
    outcomes = []

    async def change(new: str) -> None:
        outcomes.append(await office.logins.change_password("7", "correct horse", new))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(change, f"another one {number}")
    assert sum(pair is not None for pair in outcomes) >= 1
    assert office.people.people["7"].password_hash.startswith("hashed another one")


@pytest.mark.parametrize("weak", ["", "1234567", "x" * 1025, "\u00e9" * 513, "\ud800" * 10])
async def test_a_password_that_breaks_a_rule_is_refused_before_anything(office: Office, weak: str) -> None:
    with pytest.raises(WeakPassword, match="8 characters"):
        await office.logins.change_password("7", "correct horse", weak)
    assert office.passwords.checked == 0
    assert WeakPassword.status == 422


@pytest.mark.parametrize("strong", ["12345678", "x" * 1024, "\u00e9" * 512, "        "])
def test_other_passwords_may_be(strong: str) -> None:
    check_password(strong)


async def test_one_session_or_all_are_ended_and_told(office: Office) -> None:
    pairs = [await office.logins.log_in("ada", "correct horse") for _ in range(3)]
    assert all(pair is not None for pair in pairs)
    ids = [pair.session.id for pair in pairs if pair is not None]
    office.events.clear()
    assert not await office.logins.end(ids[0], "8")
    assert await office.logins.end(ids[0], "7", ip="192.0.2.7")
    assert not await office.logins.end(ids[0], "7")
    assert await office.logins.end_all("7") == 2
    assert office.events == [
        SessionEnded(at=START, user="7", session=ids[0], ip="192.0.2.7", reason="ended"),
        SessionEnded(at=START, user="7", reason="all ended"),
    ]
