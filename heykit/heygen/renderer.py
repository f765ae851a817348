"""What makes a video of a job: the preview built in (`storyboard_renderer`), or a service outside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

__all__ = ["RenderJob", "Renderer", "Report"]

Report: TypeAlias = Callable[[int], None]
"""Takes the progress in percent, and returns at once: it may be called as often as there is news."""


@dataclass(frozen=True)
class RenderJob:
    """What a renderer needs to know of a video."""

    video_id: str
    title: str
    script: str
    avatar_id: str


class Renderer(Protocol):
    """Renders videos, several at the same time."""

    @property
    def suffix(self) -> str:
        """The end of the files' names, such as `.svg` or `.mp4`: it tells what they hold."""
        ...

    def render(self, job: RenderJob, report: Report, /) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Give the file's bytes as they come; leaving the block ends the work, wherever it stands.

        Raises RenderFailed, with a message for the user, for a video that cannot be made; Unavailable or OSError when
        it may work later; anything else counts as a fault of the renderer, and its message is not shown.
        """
        ...
