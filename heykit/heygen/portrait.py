"""The avatar of a storyboard: a silhouette that breathes, blinks, and moves its mouth while a caption is spoken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from heykit.heygen.avatars import Avatar, Hair
from heykit.heygen.captions import Caption

__all__ = ["portrait"]

# Drawn round the neck at 0,0: what lies behind the head, and what lies over the forehead.
_HAIR: Mapping[Hair, tuple[str, str]] = MappingProxyType(
    {
        "short": (
            "M-98-150 C-98-262 98-262 98-150 L92-110 L-92-110 Z",
            "M-92-132 C-100-270 100-270 92-132 C72-186 26-200 -14-196 C-56-192 -80-172 -92-132 Z",
        ),
        "long": (
            "M-108-140 C-116-282 116-282 108-140 L124 66 C70 96 -70 96 -124 66 Z",
            "M-92-120 C-102-276 102-276 92-120 C76-186 22-206 2-208 C-30-192 -78-178 -92-120 Z",
        ),
        "bun": (
            "M-96-150 C-98-264 98-264 96-150 L90-112 L-90-112 Z M-46-252 a46 40 0 1 1 92 0 a46 40 0 1 1 -92 0 Z",
            "M-92-128 C-100-270 100-270 92-128 C64-192 24-198 0-198 C-24-198 -64-192 -92-128 Z",
        ),
    }
)


def portrait(avatar: Avatar, spoken: Sequence[Caption], seconds: float) -> str:
    """Draw an avatar that speaks these captions, again and again after so many seconds."""
    colours = avatar.colours
    behind, over = _HAIR[avatar.hair]
    return (
        '<g transform="translate(640 400)">'
        '<g><animateTransform attributeName="transform" type="translate" values="0 0;0 -4;0 0" dur="3.6s" '
        'repeatCount="indefinite"/>'
        f'<path fill="{colours.clothes}" d="M-250 330 C-250 90 -150 36 -62 18 L62 18 C150 36 250 90 250 330 Z"/>'
        '<g><animateTransform attributeName="transform" type="rotate" values="-1.2;1.4;-0.6;-1.2" dur="5.2s" '
        'repeatCount="indefinite"/>'
        f'<path fill="{colours.hair}" d="{behind}"/>'
        f'<path fill="{colours.skin}" d="M-38-40 L38-40 L44 26 C20 58 -20 58 -44 26 Z"/>'
        f'<ellipse fill="{colours.skin}" cy="-122" rx="90" ry="106"/>'
        f'<path fill="{colours.hair}" d="{over}"/>'
        f"{_eye(-34)}{_eye(34)}{_mouth(spoken, seconds)}"
        "</g></g></g>"
    )


def _eye(x: int) -> str:
    return (
        f'<ellipse cx="{x}" cy="-126" rx="7" ry="9" fill="#1b1b1b"><animate attributeName="ry" values="9;9;1;9;9" '
        'keyTimes="0;0.94;0.96;0.98;1" dur="4.3s" repeatCount="indefinite"/></ellipse>'
    )


def _mouth(spoken: Sequence[Caption], seconds: float) -> str:
    return (
        '<path d="M-22-68 Q0-58 22-68" stroke="#7a2e2e" stroke-width="5" stroke-linecap="round" fill="none"/>'
        '<ellipse cy="-66" rx="20" ry="5" fill="#7a2e2e">'
        '<animate attributeName="ry" values="4;13;6;15;3;10;4" dur="0.9s" repeatCount="indefinite"/>'
        f"{_while_spoken(spoken, seconds)}</ellipse>"
    )


def _while_spoken(spoken: Sequence[Caption], seconds: float) -> str:
    """Show the open mouth while there is speech, and the closed one beneath it in the pauses."""
    times = [time / seconds for caption in spoken for time in (caption.start, caption.start + caption.spoken)]
    values = ";".join("10"[index % 2] for index in range(len(times)))
    return (
        f'<animate attributeName="opacity" calcMode="discrete" values="{values}" '
        f'keyTimes="{";".join(f"{time:.6f}" for time in times)}" dur="{seconds:.2f}s" repeatCount="indefinite"/>'
    )
