"""The renderer built in: a script becomes a storyboard, an animated SVG that stands alone. A preview, and it says so.

It holds no script, no style sheet and no reference to anything outside; SMIL (SVG 2 leaves it to "SVG Animations
Level 2") moves it, over and over. All text is escaped, and its direction is that of its first strong character.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from html import escape

import anyio

from heykit.heygen.avatars import Avatar, Catalogue, avatar_by_id, built_in
from heykit.heygen.captions import Caption, captions, fitted, one_line
from heykit.heygen.errors import RenderFailed
from heykit.heygen.portrait import portrait
from heykit.heygen.renderer import Renderer, RenderJob, Report

__all__ = ["storyboard", "storyboard_renderer"]

WIDTH, HEIGHT = 1280, 720
_MARGIN = 80
_END_CARD = 1.5  # seconds after the last caption, before it starts again
_FADE = 0.15  # seconds
_CAPTION_COLUMNS, _CAPTION_LINE = 44, 46  # columns in a line, units from line to line
_TITLE_COLUMNS, _TITLE_LINES, _TITLE_LINE = 46, 2, 36
_FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"


def storyboard(title: str, spoken: Sequence[Caption], avatar: Avatar) -> Iterator[str]:
    """Draw a storyboard of one or more captions: first what stands all the time, then each caption, then the end."""
    seconds = spoken[-1].end + _END_CARD
    yield _head(one_line(title), avatar) + portrait(avatar, spoken, seconds) + _panel(seconds)
    for caption in spoken:
        yield _caption(caption, seconds)
    yield "</svg>\n"


def storyboard_renderer(
    catalogue: Catalogue = built_in,
    *,
    seconds_per_caption: float = 0.1,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Renderer:
    """Give the renderer of previews; it takes `seconds_per_caption` for each, so that its progress can be watched."""
    return _StoryboardRenderer(catalogue, seconds_per_caption, sleep)


class _StoryboardRenderer:
    suffix = ".svg"

    def __init__(
        self, catalogue: Catalogue, seconds_per_caption: float, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._catalogue = catalogue
        self._seconds_per_caption = seconds_per_caption
        self._sleep = sleep

    @asynccontextmanager
    async def render(self, job: RenderJob, report: Report, /) -> AsyncGenerator[AsyncIterator[bytes]]:
        avatar = avatar_by_id(job.avatar_id, await self._catalogue())
        if avatar is None:
            raise RenderFailed(f"There is no avatar {job.avatar_id!r} any more: order the video with another one.")
        async with aclosing(self._drawn(job, avatar, report)) as parts:
            yield parts

    async def _drawn(self, job: RenderJob, avatar: Avatar, report: Report) -> AsyncGenerator[bytes]:
        spoken = captions(job.script)
        for done, part in enumerate(storyboard(job.title, spoken, avatar)):
            yield part.encode()
            report(100 * done // (len(spoken) + 1))
            await self._sleep(self._seconds_per_caption)


def _head(title: str, avatar: Avatar) -> str:
    colours = avatar.colours
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" font-family="{_FONT}">'
        f"<title>{escape(title)}</title>"
        f"<desc>A storyboard as a preview, spoken by {escape(one_line(avatar.name))}.</desc>"
        '<defs><radialGradient id="wall" cx="0.5" cy="0.38" r="0.75">'
        f'<stop offset="0" stop-color="{colours.light}"/><stop offset="1" stop-color="{colours.wall}"/>'
        f'</radialGradient></defs><rect width="{WIDTH}" height="{HEIGHT}" fill="url(#wall)"/>'
        f"{_title(title)}"
        f'<g transform="translate({WIDTH - _MARGIN - 118} 34)"><rect width="118" height="36" rx="18" fill="#ffffff" '
        'fill-opacity="0.85"/><text x="59" y="25" font-size="18" font-weight="600" text-anchor="middle" '
        'fill="#222222">preview</text></g>'
    )


def _title(title: str) -> str:
    lines = fitted(title, _TITLE_COLUMNS)
    if len(lines) > _TITLE_LINES:
        lines = [*lines[: _TITLE_LINES - 1], f"{lines[_TITLE_LINES - 1]}…"]
    return "".join(
        _line(line, _MARGIN, 62 + _TITLE_LINE * row, 'font-size="30" font-weight="600"', centred=False)
        for row, line in enumerate(lines)
    )


def _panel(seconds: float) -> str:
    """Draw what the captions stand on, and the bar that shows how far the video is."""
    length = WIDTH - 2 * _MARGIN
    return (
        f'<rect x="{_MARGIN}" y="508" width="{length}" height="172" rx="16" fill="#000000" fill-opacity="0.7"/>'
        f'<rect x="{_MARGIN}" y="692" width="{length}" height="6" rx="3" fill="#ffffff" fill-opacity="0.25"/>'
        f'<rect x="{_MARGIN}" y="692" width="0" height="6" rx="3" fill="#ffffff"><animate attributeName="width" '
        f'values="0;{length}" dur="{seconds:.2f}s" repeatCount="indefinite"/></rect>'
    )


def _caption(caption: Caption, seconds: float) -> str:
    lines = fitted(caption.text, _CAPTION_COLUMNS)
    first = 594 + 13 - _CAPTION_LINE * (len(lines) - 1) / 2
    text = "".join(
        _line(line, WIDTH // 2, first + _CAPTION_LINE * row, 'font-size="36"', centred=True)
        for row, line in enumerate(lines)
    )
    # The first is there at once also for those who show SVG without its animation.
    shown = 0 if caption.start else 1
    return f'<g opacity="{shown}">{_shown(caption, seconds)}{text}</g>'


def _shown(caption: Caption, seconds: float) -> str:
    times = (0, caption.start, caption.start + _FADE, caption.end - _FADE, caption.end, seconds)
    key_times = ";".join(f"{time / seconds:.6f}" for time in times)
    return (
        f'<animate attributeName="opacity" values="0;0;1;1;0;0" keyTimes="{key_times}" dur="{seconds:.2f}s" '
        'repeatCount="indefinite"/>'
    )


def _line(text: str, x: float, y: float, style: str, *, centred: bool) -> str:
    right_to_left = _right_to_left(text)
    # The "end" of a line from right to left is its left edge.
    left_edge = "end" if right_to_left else "start"
    anchor = "middle" if centred else left_edge
    direction = ' direction="rtl"' if right_to_left else ""
    return f'<text x="{x:g}" y="{y:g}" {style} fill="#ffffff" text-anchor="{anchor}"{direction}>{escape(text)}</text>'


def _right_to_left(text: str) -> bool:
    """Look at the first strong character, as the Unicode Bidirectional Algorithm does (UAX #9, rules P2 and P3)."""
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind in ("R", "AL") for kind in kinds if kind in ("L", "R", "AL")), False)
