from __future__ import annotations

import pytest

from heykit.heygen import Conflict, Invalid, NotFound, User, Users, user_store
from heykit.security import authenticate
from heykit.security.access import has_permission, has_role
from tests.heygen.world import PlainPasswords, World

PASSWORD = "correct horse"


@pytest.fixture
def users(here: World) -> Users:
    return user_store(here.database, PlainPasswords(), now=here.clock, entropy=here.entropy)


async def test_a_registered_user_is_found_by_name_and_by_id(users: Users) -> None:
    ada = await users.register("Ada.L", PASSWORD)
    assert ada == await users.by_id(ada.id)
    assert ada == await users.by_name("ada.l")
    assert ada.name == "Ada.L"


async def test_who_registers_can_log_in_whatever_the_case_of_the_name(users: Users) -> None:
    ada = await users.register("Ada", PASSWORD)
    assert ada == await authenticate(users, "aDA", PASSWORD, passwords=PlainPasswords())
    assert await authenticate(users, "Ada", "wrong horse", passwords=PlainPasswords()) is None
    assert await authenticate(users, "Bob", PASSWORD, passwords=PlainPasswords()) is None


async def test_a_name_is_taken_in_every_case(users: Users) -> None:
    await users.register("Ada", PASSWORD)
    with pytest.raises(Conflict, match="'ADA' is taken") as caught:
        await users.register("ADA", PASSWORD)
    assert caught.value.status == 409


@pytest.mark.parametrize("name", ["", "ab", "a" * 65, "ada lovelace", "ada\n", "ädä", "a/b", "a\0b", "\ud800ab"])
async def test_a_name_that_breaks_the_rule_is_refused_and_nobodys(users: Users, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        await users.register(name, PASSWORD)
    assert (caught.value.field, caught.value.status) == ("name", 422)
    assert await users.by_name(name) is None
    with pytest.raises(NotFound):
        await users.grant(name, "admin")


@pytest.mark.parametrize("password", ["", "7 bytes", "x" * 1025, "ß" * 513, "\U0001f600" * 7, "\ud800 in the middle"])
async def test_a_password_that_breaks_the_rule_is_refused_and_not_repeated(users: Users, password: str) -> None:
    with pytest.raises(Invalid) as caught:
        await users.register("ada", password)
    assert caught.value.field == "password"
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("password", ["8 bytes.", "ß" * 512])
async def test_a_password_of_8_to_1024_bytes_is_taken(users: Users, password: str) -> None:
    await users.register("ada", password)


async def test_a_user_may_use_videos_and_an_admin_everything(users: Users) -> None:
    ada = await users.register("ada", PASSWORD)
    assert has_permission(ada, "write:videos")
    assert not has_permission(ada, "read:users")
    root = await users.grant("ADA", "admin")
    assert has_role(root, "admin")
    assert has_permission(root, "read:users")
    assert has_permission(root, "anything:else")
    assert root == await users.by_id(ada.id)


async def test_a_role_that_is_none_is_refused(users: Users) -> None:
    await users.register("ada", PASSWORD)
    with pytest.raises(Invalid, match="role: one of user, admin"):
        await users.grant("ada", "king")


async def test_pages_give_everybody_once_newest_first(users: Users, here: World) -> None:
    names = [f"user-{number}" for number in range(7)]
    for name in names:
        await users.register(name, PASSWORD)
        here.clock.turn(0.5)
    assert names[::-1] == [user.name for user in await everybody(users, limit=3)]


async def everybody(users: Users, *, limit: int) -> list[User]:
    found: list[User] = []
    cursor: str | None = None
    while True:
        page = await users.page(cursor, limit=limit)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


async def test_no_repr_shows_the_hash_of_a_password(users: Users) -> None:
    ada = await users.register("ada", PASSWORD)
    assert ada.password_hash
    assert ada.password_hash not in repr(ada)


async def test_an_id_of_another_shape_is_nobodys(users: Users) -> None:
    assert await users.by_id("\0") is None
    assert await users.by_id("A" * 32) is None
