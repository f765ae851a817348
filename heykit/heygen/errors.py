"""What the domain refuses, each with a stable code and the HTTP status it means."""

from __future__ import annotations

from heykit.errors import HeykitError


class NotFound(HeykitError):
    """There is no such thing, or it is somebody else's."""

    code = "heygen.not_found"
    status = 404


class Conflict(HeykitError):
    """What is asked cannot stand beside what is there."""

    code = "heygen.conflict"
    status = 409


class NotReady(Conflict):
    """The video has no content yet, or never will."""

    code = "heygen.not_ready"


class Invalid(HeykitError):
    """A value breaks a rule; `field` names it, and the message says the rule."""

    code = "heygen.invalid"
    status = 422

    def __init__(self, field: str, rule: str) -> None:
        self.field = field
        super().__init__(f"{field}: {rule}")


class RenderFailed(HeykitError):
    """A renderer cannot make this video, however often it is asked; the user reads the message."""

    code = "heygen.render_failed"
    status = 502


class TooManyStreams(HeykitError):
    """A session has as many streams open as it may."""

    code = "heygen.too_many_streams"
    status = 429
