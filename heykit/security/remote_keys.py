"""The key set of another service, fetched when it is needed and kept.

    async def fetch(url: str) -> bytes:
        return (await api.get("/.well-known/jwks.json")).body

    async with remote_key_set("https://accounts.example/.well-known/jwks.json", fetch, algorithms=["ES256"]) as remote:
        claims = jwt.decode(token, await remote.keys_for(token), issuer="https://accounts.example", audience="api")

However many ask at once, one asks there. A token that names an unknown key is a reason to ask again, but not more often
than the cool-down. What cannot be fetched changes nothing: the keys that are known serve on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Final, Protocol

import anyio

from heykit._finish import finish
from heykit.errors import HeykitError, KeyRefused, Unavailable
from heykit.health import Health
from heykit.security import _compact, _json, _jwk
from heykit.security.keys import Algorithm, Key, KeySet, key_set, key_set_from_jwks

__all__ = ["Fetch", "RemoteKeys", "remote_key_set"]

Fetch = Callable[[str], Awaitable[bytes]]
"""Gives the body of a URL, of which it is the answer of success; it may raise whatever it likes."""

_LONGEST: Final = 1024 * 1024  # bytes of a key set
_MOST_KEYS: Final = 100

logger = logging.getLogger("heykit.security")


class RemoteKeys(Protocol):
    """The keys of another service."""

    async def keys_for(self, token: str | bytes, /) -> KeySet:
        """Give the keys as they are known, having asked for them where it may help with this token.

        Raises Unavailable where none are known and they cannot be fetched.
        """
        ...

    async def health(self) -> Health: ...
    def stats(self) -> Mapping[str, int]: ...


async def _remote_key_set(
    url: str,
    fetch: Fetch,
    *,
    algorithms: Collection[Algorithm],
    allow_http: bool = False,
    max_age: float = 3600.0,
    cool_down: float = 30.0,
    keep_for: float = 86_400.0,
    timeout: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncGenerator[RemoteKeys]:
    """Open the key set at a URL, whose keys are for `algorithms`.

    It is fetched anew when it is `max_age` seconds old, and for a token with an unknown key, but never within
    `cool_down` seconds of the last time. Where that fails, the old keys serve until they are `keep_for` seconds old.
    `timeout` bounds one fetch. A key that is malformed or too weak is left out, and logged.

    :raises ValueError: the URL is not `https`, and `http` is not allowed, or a time makes no sense
    """
    if not url.startswith("https://") and not (allow_http and url.startswith("http://")):
        raise ValueError("the URL of a key set begins with https://; allow_http=True is for tests on this machine")
    if not (0 <= cool_down < max_age <= keep_for and 0 < timeout < math.inf):
        raise ValueError("times must be 0 <= cool_down < max_age <= keep_for, and a timeout above 0")
    if not algorithms:
        raise ValueError("say for which algorithms the keys are: algorithms=")
    keys = _RemoteKeys(url, fetch, algorithms, (max_age, cool_down, keep_for, timeout), clock)
    try:
        yield keys
    finally:
        await finish(keys.close())


remote_key_set = asynccontextmanager(_remote_key_set)


class _RemoteKeys:
    def __init__(
        self,
        url: str,
        fetch: Fetch,
        algorithms: Collection[Algorithm],
        times: tuple[float, float, float, float],
        clock: Callable[[], float],
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._algorithms = algorithms
        self._max_age, self._cool_down, self._keep_for, self._timeout = times
        self._clock = clock
        self._fetching: asyncio.Task[None] | None = None
        self._keys: KeySet | None = None
        self._fetched_at = self._asked_at = -math.inf
        self._counts = {"fetched": 0, "failed": 0}

    async def keys_for(self, token: str | bytes, /) -> KeySet:
        if self._is_wanted(token):
            if self._fetching is None:
                # Of nobody who asks: whoever leaves takes nothing with them, and the cool-down holds.
                self._fetching = asyncio.get_running_loop().create_task(self._refresh())
                await asyncio.wait([self._fetching])
            elif not self._serves(token):
                await asyncio.wait([self._fetching])
        if self._keys is None or self._is_too_old():
            raise Unavailable(
                f"the key set at {self._url} cannot be fetched, and no keys are known that are young enough",
                retry_after=max(1.0, self._cool_down),
            )
        return self._keys

    async def close(self) -> None:
        """End what is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    async def health(self) -> Health:
        figures = {"keys": 0 if self._keys is None else len(self._keys), **self._counts}
        if self._keys is None and not self._counts["failed"]:
            return Health("pass", "security", "nobody has needed it yet", figures)
        if self._keys is None:
            return Health("warn", "security", "it could not be fetched", figures)
        if self._clock() - self._fetched_at >= self._max_age + self._cool_down:
            return Health("warn", "security", "it could not be fetched anew: the old keys serve", figures)
        return Health("pass", "security", figures=figures)

    def stats(self) -> Mapping[str, int]:
        return dict(self._counts)

    def _is_too_old(self) -> bool:
        return self._clock() - self._fetched_at >= self._keep_for

    def _serves(self, token: str | bytes) -> bool:
        """True if there is a key for a token already, though the set may have grown old."""
        return self._keys is not None and not self._is_too_old() and _compact.is_known(token, self._keys)

    def _is_wanted(self, token: str | bytes) -> bool:
        now = self._clock()
        if now - self._asked_at < self._cool_down:
            return False
        return self._keys is None or now - self._fetched_at >= self._max_age or not _compact.is_known(token, self._keys)

    async def _refresh(self) -> None:
        try:
            with anyio.fail_after(self._timeout):
                body = await self._fetch(self._url)
            found = _usable(body, self._algorithms)
        except Exception as error:  # noqa: BLE001 - of whatever kind: the old keys serve on
            self._counts["failed"] += 1
            # Not its text: it may hold what the other side sent.
            reason = str(error) if isinstance(error, HeykitError) else type(error).__name__
            logger.warning("the key set at %s cannot be fetched: %s", self._url, reason)
        else:
            self._keys = found
            self._fetched_at = self._clock()
            self._counts["fetched"] += 1
        finally:
            self._asked_at = self._clock()
            self._fetching = None


def _usable(body: bytes, algorithms: Collection[Algorithm]) -> KeySet:
    """Read the keys of a set that can be used; a set of none is KeyRefused."""
    if len(body) > _LONGEST:
        raise KeyRefused(f"it has more than {_LONGEST} bytes")
    try:
        jwks = _json.parse_object(body)
    except ValueError:
        raise KeyRefused("it is no JSON object") from None
    members = jwks.get("keys")
    if not isinstance(members, list) or len(members) > _MOST_KEYS:
        raise KeyRefused(f'it has no "keys", or more than {_MOST_KEYS}')
    _jwk.refuse_mixture(members)
    keys: dict[str | None, Key] = {}
    for member in members:
        # RFC 7517 §5: ignore keys that are not understood, lack what they must have, or are out of the ranges.
        try:
            for key in key_set_from_jwks({"keys": [member]}, algorithms=algorithms):
                keys.setdefault(key.id, key)
        except KeyRefused as refused:
            logger.info("a key of the set is left out: %s", refused)
    return key_set(keys.values())
