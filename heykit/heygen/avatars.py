"""The avatars that can speak in a video, which names one by its identifier."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["AVATARS", "Avatar", "Catalogue", "Colours", "Hair", "avatar_by_id", "built_in"]

Hair: TypeAlias = Literal["short", "long", "bun"]


@dataclass(frozen=True)
class Colours:
    """What an avatar is painted with, as `#rrggbb`: the wall behind, its light, skin, hair and clothes."""

    wall: str
    light: str
    skin: str
    hair: str
    clothes: str


@dataclass(frozen=True)
class Avatar:
    """Someone who can speak a script; `voice` says in words how they sound."""

    id: str
    name: str
    description: str
    voice: str
    hair: Hair
    colours: Colours


AVATARS: tuple[Avatar, ...] = (
    Avatar(
        "amelia", "Amelia", "A news presenter in a bright studio.", "clear, quick, neutral",
        "long", Colours("#16324f", "#2f6690", "#f2c9a1", "#5b3a29", "#c8553d"),
    ),
    Avatar(
        "bruno", "Bruno", "A teacher who takes his time.", "warm, slow, low",
        "short", Colours("#2d3a2e", "#587b5a", "#e0ac69", "#2b2118", "#e9c46a"),
    ),
    Avatar(
        "chen", "Chen", "An engineer who explains how things work.", "calm, precise",
        "short", Colours("#1f2041", "#4b4e8f", "#f1c27d", "#111111", "#8ecae6"),
    ),
    Avatar(
        "dalia", "Dalia", "A guide who welcomes new colleagues.", "friendly, bright",
        "bun", Colours("#4a2545", "#8a4f7d", "#c68642", "#1c1110", "#f4a5ae"),
    ),
    Avatar(
        "elias", "Elias", "A spokesman with a formal manner.", "firm, deep",
        "short", Colours("#22262b", "#56606b", "#8d5524", "#0b0b0b", "#5f7adb"),
    ),
    Avatar(
        "fatima", "Fatima", "A storyteller for every age.", "lively, soft",
        "long", Colours("#5a2a16", "#b5651d", "#a9694a", "#24130c", "#2a9d8f"),
    ),
)  # fmt: skip


Catalogue: TypeAlias = Callable[[], Awaitable[Sequence[Avatar]]]
"""Gives the avatars there are now."""


async def built_in() -> Sequence[Avatar]:
    """Give the avatars that are there without anybody adding them."""
    return AVATARS


def avatar_by_id(id: str, avatars: Sequence[Avatar] = AVATARS) -> Avatar | None:
    """Find an avatar; `None` if there is none of that identifier."""
    return next((avatar for avatar in avatars if avatar.id == id), None)
