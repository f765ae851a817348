"""The catalogue of avatars: those built in, and what the administrators have added or changed.

avatars = avatar_store(database, cache=cache)
await avatars.put(Avatar("greta", "Greta", "A pilot.", "dry", "bun", Colours(...)))
videos = video_store(database, files, bell, catalogue=avatars.all)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Protocol, get_args

from heykit.cache import Cache, cached
from heykit.database.protocol import Database
from heykit.heygen.avatars import AVATARS, Avatar, Colours, Hair
from heykit.heygen.errors import Invalid, NotFound
from heykit.heygen.forgetting import changing
from heykit.heygen.texts import checked_line

__all__ = ["Avatars", "avatar_store"]

_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LONGEST_ID, _LONGEST_NAME, _LONGEST_VOICE, _LONGEST_DESCRIPTION = 64, 64, 200, 500  # characters
_COLOUR = re.compile(r"#[0-9a-f]{6}")
_TAG = "avatars"


class Avatars(Protocol):
    """Everybody who can speak in a video."""

    async def all(self) -> tuple[Avatar, ...]:
        """List them: those built in first, then the others by their identifier."""
        ...

    async def put(self, avatar: Avatar, /) -> Avatar:
        """Add an avatar, or change the one of that identifier. Invalid names the field that breaks a rule."""
        ...

    async def delete(self, id: str, /) -> None:
        """Take out what was put; one that is built in is again as it was. NotFound where nothing was put."""
        ...


@dataclass(frozen=True)
class _Row:
    id: str
    name: str
    description: str
    voice: str
    hair: Hair
    wall_colour: str
    light_colour: str
    skin_colour: str
    hair_colour: str
    clothes_colour: str

    @property
    def avatar(self) -> Avatar:
        colours = Colours(self.wall_colour, self.light_colour, self.skin_colour, self.hair_colour, self.clothes_colour)
        return Avatar(self.id, self.name, self.description, self.voice, self.hair, colours)


def avatar_store(database: Database, *, cache: Cache[tuple[Avatar, ...]] | None = None) -> Avatars:
    """Give the avatars of a database that has our tables (`MIGRATIONS`); it needs no closing.

    The catalogue is read through the cache, and looked up anew once it has changed.
    """
    return _Avatars(database, cache)


class _Avatars:
    def __init__(self, database: Database, cache: Cache[tuple[Avatar, ...]] | None) -> None:
        self._database = database
        self._cache = cache
        self._kept = self._read if cache is None else cached(cache, tags=(_TAG,))(self._read)

    async def all(self) -> tuple[Avatar, ...]:
        return await self._kept()

    async def _read(self) -> tuple[Avatar, ...]:
        rows = await self._database.fetch("SELECT * FROM avatars ORDER BY id", into=_Row)
        put = {row.id: row.avatar for row in rows}
        return (*(put.pop(avatar.id, avatar) for avatar in AVATARS), *put.values())

    async def put(self, avatar: Avatar, /) -> Avatar:
        checked = _checked(avatar)
        async with changing(self._cache, _TAG):
            await self._database.execute(
                "INSERT INTO avatars (id, name, description, voice, hair, wall_colour, light_colour, skin_colour,"
                " hair_colour, clothes_colour) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                " ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,"
                " voice = excluded.voice, hair = excluded.hair, wall_colour = excluded.wall_colour,"
                " light_colour = excluded.light_colour, skin_colour = excluded.skin_colour,"
                " hair_colour = excluded.hair_colour, clothes_colour = excluded.clothes_colour",
                checked.id,
                checked.name,
                checked.description,
                checked.voice,
                checked.hair,
                *(getattr(checked.colours, colour.name) for colour in fields(Colours)),
            )
        return checked

    async def delete(self, id: str, /) -> None:
        gone = None
        if _ID.fullmatch(id):
            async with changing(self._cache, _TAG):
                gone = await self._database.fetch_one("DELETE FROM avatars WHERE id = $1 RETURNING *", id, into=_Row)
        if gone is None:
            raise NotFound("no avatar of that identifier was put here")


def _checked(avatar: Avatar) -> Avatar:
    if len(avatar.id) > _LONGEST_ID or not _ID.fullmatch(avatar.id):
        raise Invalid("id", f"up to {_LONGEST_ID} of a to z, digits, and '-' between them")
    if avatar.hair not in get_args(Hair):
        raise Invalid("hair", f"one of {', '.join(get_args(Hair))}")
    # They stand in the drawing as they are.
    for colour in fields(Colours):
        if not _COLOUR.fullmatch(getattr(avatar.colours, colour.name)):
            raise Invalid(f"colours.{colour.name}", "a colour is '#' and six of 0 to 9 and a to f")
    return Avatar(
        avatar.id,
        checked_line("name", avatar.name, _LONGEST_NAME),
        checked_line("description", avatar.description, _LONGEST_DESCRIPTION),
        checked_line("voice", avatar.voice, _LONGEST_VOICE),
        avatar.hair,
        avatar.colours,
    )
