from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from heykit.errors import HeykitError, Throttled, Unavailable
from heykit.security import UserStore, authenticate
from heykit.security.audit import AccountLocked, LoginFailed, SecurityEvent, as_json
from heykit.security.throttle import Limit, memory_throttle


@dataclass(frozen=True)
class User:
    name: str
    password_hash: str


@dataclass(frozen=True)
class Guest:
    """Someone who logs in another way."""

    name: str
    password_hash: str | None = None


@dataclass(frozen=True)
class Users:
    async def by_name(self, name: str, /) -> User | None:
        return User("ada", "hash of right") if name == "ada" else None


@dataclass(frozen=True)
class Guests:
    async def by_name(self, name: str, /) -> Guest | None:
        return Guest(name)


@dataclass(frozen=True)
class FakePasswords:
    checked: list[tuple[str, str | None]] = field(default_factory=list)

    async def hash(self, password: str, /) -> str:
        return f"hash of {password}"

    async def verify(self, password: str, hashed: str | None, /) -> bool:
        self.checked.append((password, hashed))
        return hashed in {f"hash of {password}", f"old hash of {password}"}

    def is_outdated(self, hashed: str, /) -> bool:
        return hashed.startswith("old")


async def test_the_right_password_gives_the_user() -> None:
    store: UserStore[User] = Users()
    user = await authenticate(store, "ada", "right", passwords=FakePasswords())
    assert user is not None
    assert user.name == "ada"


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", "right"), ("", "")])
async def test_a_wrong_password_and_an_unknown_name_give_nobody(name: str, password: str) -> None:
    assert await authenticate(Users(), name, password, passwords=FakePasswords()) is None


async def test_an_unknown_name_costs_a_check_as_a_known_one_does() -> None:
    passwords = FakePasswords()
    await authenticate(Users(), "nobody", "right", passwords=passwords)
    await authenticate(Users(), "ada", "wrong", passwords=passwords)
    assert passwords.checked == [("right", None), ("wrong", "hash of right")]


async def test_who_has_no_password_does_not_log_in_by_one() -> None:
    passwords = FakePasswords()
    assert await authenticate(Guests(), "guest", "", passwords=passwords) is None
    assert passwords.checked == [("", None)]


@dataclass
class Upgrades:
    stored: list[tuple[str, str]] = field(default_factory=list)
    failure: HeykitError | None = None

    async def __call__(self, user: User, hashed: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.stored.append((user.name, hashed))


@dataclass(frozen=True)
class OldUsers:
    async def by_name(self, name: str, /) -> User | None:
        return User("ada", "old hash of right") if name == "ada" else None


async def test_an_outdated_hash_is_replaced_at_the_next_login_and_only_by_who_has_the_password() -> None:
    upgrade = Upgrades()
    assert await authenticate(OldUsers(), "ada", "wrong", passwords=FakePasswords(), upgrade=upgrade) is None
    assert upgrade.stored == []
    assert await authenticate(OldUsers(), "ada", "right", passwords=FakePasswords(), upgrade=upgrade)
    assert upgrade.stored == [("ada", "hash of right")]


async def test_a_hash_of_today_stays() -> None:
    upgrade = Upgrades()
    assert await authenticate(Users(), "ada", "right", passwords=FakePasswords(), upgrade=upgrade)
    assert upgrade.stored == []


async def test_who_logs_in_does_so_though_the_new_hash_cannot_be_stored(caplog: pytest.LogCaptureFixture) -> None:
    upgrade = Upgrades(failure=Unavailable("the database is away"))
    assert await authenticate(OldUsers(), "ada", "right", passwords=FakePasswords(), upgrade=upgrade)
    assert "could not be hashed anew" in caplog.text


async def test_after_too_many_attempts_no_password_is_looked_at() -> None:
    passwords, events = FakePasswords(), list[SecurityEvent]()
    async with memory_throttle(account=Limit(2, per=60), now=lambda: 0.0) as throttle:

        async def attempt(password: str) -> User | None:
            return await authenticate(
                Users(),
                "ada",
                password,
                passwords=passwords,
                throttle=throttle,
                audit=events.append,
                ip="192.0.2.7",
                user_agent="x",
                now=lambda: 5.0,
            )

        assert await attempt("wrong") is None
        assert await attempt("right")  # which uses none up
        assert await attempt("wrong") is None
        checked = len(passwords.checked)
        with pytest.raises(Throttled) as locked:
            await attempt("right")
        assert len(passwords.checked) == checked
        assert locked.value.by == "account"
        assert locked.value.retry_after == pytest.approx(30)
    failed = LoginFailed(at=5.0, ip="192.0.2.7", user_agent="x", account="ada")
    assert events[:2] == [failed] * 2
    assert isinstance(events[2], AccountLocked)
    assert len(events) == 3


async def test_a_name_that_nobody_has_is_not_told_for_it_may_be_a_password() -> None:
    events = list[SecurityEvent]()
    assert (
        await authenticate(Users(), "s3cret", "x", passwords=FakePasswords(), audit=events.append, now=lambda: 5.0)
        is None
    )
    assert events == [LoginFailed(at=5.0)]
    assert "s3cret" not in as_json(events[0])


async def test_an_event_is_one_line_of_json() -> None:
    event = AccountLocked(at=5.0, ip="192.0.2.7", by="account", retry_after=30)
    assert json.loads(as_json(event)) == {
        "event": "AccountLocked",
        "at": 5.0,
        "user": None,
        "session": None,
        "ip": "192.0.2.7",
        "user_agent": "",
        "by": "account",
        "retry_after": 30,
    }
    assert "\n" not in as_json(LoginFailed(at=5.0, user_agent="a\nb"))


async def test_an_audit_that_fails_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def audit(event: SecurityEvent) -> None:
        raise RuntimeError("full")

    assert await authenticate(Users(), "ada", "wrong", passwords=FakePasswords(), audit=audit) is None
    assert "the audit of LoginFailed failed" in caplog.text
