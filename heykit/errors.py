"""One family of errors: each has a stable code and the HTTP status it means at the edge.

A message says what happened and what to do next, and holds no secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


class HeykitError(Exception):
    """The parent of every error heykit raises on purpose.

    `had_no_effect`: the call that failed with it certainly changed nothing, and so may be made again.
    """

    code: str = "heykit.error"
    status: int = 500
    had_no_effect: bool = False

    def __reduce__(self) -> tuple[object, ...]:
        """Come out of a pickle, from another process, as it was: what made it took other arguments than it holds."""
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[HeykitError], args: tuple[object, ...]) -> HeykitError:
    return kind.__new__(kind, *args)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a wiring: what, where (file and line of the function), what to do."""

    code: str
    message: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message} [{self.code}]"


class WiringError(HeykitError):
    """The chain of dependencies cannot work; `faults` holds all that is wrong with it."""

    code = "wiring.faults"

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        count = len(self.faults)
        head = "1 fault in the wiring" if count == 1 else f"{count} faults in the wiring"
        super().__init__("\n  ".join([head + ":", *map(str, self.faults)]))


class StartupError(HeykitError):
    """A provider could not be opened; raised from its cause, never inside an exception group."""

    code = "lifetime.startup"


class ShutdownError(HeykitError):
    """Something could not be closed; the rest was; `errors` holds every failure."""

    code = "lifetime.shutdown"

    def __init__(self, message: str, errors: Sequence[Exception]) -> None:
        self.errors: tuple[Exception, ...] = tuple(errors)
        super().__init__(message)


class NotOpen(HeykitError):
    """A provider was asked for where nothing has opened it; the message says how to open it."""

    code = "lifetime.not_open"


class NoKey(HeykitError):
    """An instance that is kept by key was asked for without one, or with what cannot be one."""

    code = "lifetime.no_key"


class OverrideError(HeykitError):
    """A dependency override cannot be honoured where it stands."""

    code = "wiring.override"


@dataclass(frozen=True)
class ConfigFault:
    """One wrong setting. `found` is masked where the setting is a secret."""

    key: str
    expected: str
    origin: str
    found: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        parts = [f"{self.key or 'configuration'}: expected {self.expected}"]
        if self.found:
            parts.append(f"found {self.found}")
        if self.origin:
            parts.append(f"from {self.origin}")
        if self.suggestion:
            parts.append(f"did you mean {self.suggestion}?")
        return ", ".join(parts)


class ConfigError(HeykitError):
    """The configuration is wrong; `faults` holds everything that is wrong with it."""

    code = "config.faults"

    def __init__(self, faults: Sequence[ConfigFault]) -> None:
        self.faults: tuple[ConfigFault, ...] = tuple(faults)
        count = len(self.faults)
        head = "1 fault in the configuration" if count == 1 else f"{count} faults in the configuration"
        super().__init__("\n  ".join([head + ":", *map(str, self.faults)]))


class TokenError(HeykitError):
    """A token or key is refused; `code` says why, the message holds nothing of the token."""

    code = "token.invalid"
    status = 401

    def __init__(self, message: str, *, code: str = "token.invalid") -> None:
        self.code = code
        super().__init__(message)


class KeyRefused(HeykitError):
    """A key is too weak, malformed or not for this algorithm; refused before it can be used."""

    code = "key.refused"


class Unavailable(HeykitError):
    """Something needed is away for now: 503 at the edge, with `Retry-After`."""

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, retry_after: float = 1.0, had_no_effect: bool = False) -> None:
        self.retry_after = retry_after
        self.had_no_effect = had_no_effect
        super().__init__(message)


class Throttled(HeykitError):
    """There were too many attempts: 429 at the edge, with `Retry-After`. `by` is what was counted."""

    code = "throttled"
    status = 429
    had_no_effect = True

    def __init__(self, message: str, *, retry_after: float, by: Literal["account", "address"]) -> None:
        self.retry_after = retry_after
        self.by = by
        super().__init__(message)


class TimedOut(Unavailable):
    """A time limit ended a call whose effect may or may not stand."""

    code = "timed_out"


class Overloaded(Unavailable):
    """More is asked for at once than is let through; what was asked for may be well."""

    code = "overloaded"


class HttpError(HeykitError):
    """An outside HTTP API refused a request or answered what cannot be used: 502 at the edge.

    `answered` is its status code, 0 where there is none that matters; `headers` (lower-case names) and `body` are what
    it said, which the message never shows.
    """

    code = "http.refused"
    status = 502

    def __init__(
        self, message: str, *, answered: int = 0, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> None:
        self.answered = answered
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.body = body
        super().__init__(message)


class HttpUnavailable(Unavailable):
    """An outside HTTP API answered that it cannot serve for now.

    `answered` is its status code; `asked_to_wait` are the seconds of its Retry-After, None where it has none.
    """

    code = "http.unavailable"

    def __init__(
        self, message: str, *, answered: int, asked_to_wait: float | None = None, had_no_effect: bool = False
    ) -> None:
        self.answered = answered
        self.asked_to_wait = asked_to_wait
        super().__init__(message, retry_after=asked_to_wait or 1.0, had_no_effect=had_no_effect)


class RedisError(HeykitError):
    """Redis refused a command, or it cannot be sent; the message names neither its arguments nor credentials."""

    code = "redis.error"


class DatabaseError(HeykitError):
    """The database refused a statement; the message names neither values nor credentials."""

    code = "database.error"


class IntegrityError(DatabaseError):
    """A constraint refused the change: something unique stands already, or what it refers to is missing."""

    code = "database.integrity"
    status = 409


class MigrationError(DatabaseError):
    """A migration failed, or one already applied has another text now."""

    code = "database.migration"


class FileError(HeykitError):
    """A file of a store cannot be read or written."""

    code = "file.error"


class FileMissing(FileError):
    """The store has no file of that name."""

    code = "file.missing"
    status = 404


class NameRefused(FileError):
    """A name that could leave the store's root, or that no file system takes."""

    code = "file.name_refused"
    status = 400


class ChecksumMismatch(FileError):
    """What came is not what was announced; nothing of it was kept."""

    code = "file.checksum"
    status = 400


class FileTooLarge(FileError):
    """More bytes came than the store allows in one file."""

    code = "file.too_large"
    status = 413
