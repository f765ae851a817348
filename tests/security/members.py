"""Members in memory, with passwords whose hash costs nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from anyio.lowlevel import checkpoint


@dataclass(frozen=True)
class Person:
    id: str
    name: str
    password_hash: str


class People:
    def __init__(self, *people: Person) -> None:
        self.people = {person.id: person for person in people}

    async def by_name(self, name: str, /) -> Person | None:
        return next((person for person in self.people.values() if person.name == name), None)

    async def by_id(self, id: str, /) -> Person | None:
        return self.people.get(id)

    async def change_password_hash(self, member: Person, hashed: str, /) -> bool:
        if self.people.get(member.id) != member:
            return False
        self.people[member.id] = replace(member, password_hash=hashed)
        return True


def people() -> People:
    return People(
        Person("7", "ada", "hashed correct horse"),
        Person("8", "bob", "hashed battery staple"),
        Person("9", "old", "outdated correct horse"),
    )


class EasyPasswords:
    def __init__(self) -> None:
        self.checked = 0

    async def hash(self, password: str, /) -> str:
        await checkpoint()
        return f"hashed {password}"

    async def verify(self, password: str, hashed: str | None, /) -> bool:
        self.checked += 1
        await checkpoint()
        return hashed in {f"hashed {password}", f"outdated {password}"}

    def is_outdated(self, hashed: str, /) -> bool:
        return hashed.startswith("outdated")
