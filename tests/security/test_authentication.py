from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from heykit.security import UserStore, authenticate


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
        return f"hash of {password}" == hashed


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
