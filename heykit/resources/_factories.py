"""The ways to open what lies behind a driver, which is imported when it is first asked for."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Final

from heykit._connection_limits import Limits
from heykit.errors import HttpError
from heykit.resilience import Breaker
from heykit.resources.protocol import HttpApi, Redis

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_BREAKER: Final = Breaker()
_MEBIBYTE: Final = 1024 * 1024


def redis_client(
    url: str,
    *,
    max_connections: int = 10,
    connection_timeout: float = 0.5,
    command_timeout: float = 1.0,
    retry_attempts: int = 3,
    health_check_interval: float = 15.0,
) -> AbstractAsyncContextManager[Redis]:
    """Open a client of the Redis (or Valkey) server that `url` names: `redis://`, `rediss://` with TLS, or `unix://`.

    `connection_timeout` seconds bound the wait for a connection and `command_timeout` seconds an exchange; no call
    takes longer than both. Whoever has waited longest for a connection gets the next. While the server is away one task
    asks after it for as long as somebody waits. A command is repeated, up to `retry_attempts` times, where it certainly
    was not sent, or was idempotent and its reply was lost. A connection idle for `health_check_interval` seconds is
    tried before it is used, and those that listen are tried after as long a silence.

    Raises Unavailable when the server is away, RedisError when it refuses the credentials or the URL cannot be read,
    and ValueError for a limit that makes no sense.
    """
    from heykit.resources._redis import open_redis

    limits = Limits(max_connections, connection_timeout, retry_attempts, health_check_interval)
    if not command_timeout > 0:
        raise ValueError("command_timeout must be above 0")
    return open_redis(url, limits, command_timeout)


def http_api(
    base_url: str,
    *,
    headers: Mapping[str, str] = _NONE,
    max_connections: int = 10,
    connection_timeout: float = 5.0,
    read_timeout: float = 10.0,
    timeout: float = 30.0,
    retry_attempts: int = 3,
    max_response_bytes: int = 16 * _MEBIBYTE,
    breaker: Breaker = _BREAKER,
    idempotency_keys: bool = False,
    health_path: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> AbstractAsyncContextManager[HttpApi]:
    """Open a client of the HTTP API under `base_url`; every request has the `headers`, such as Authorization.

    `connection_timeout` seconds bound the wait for one of `max_connections` and then the connecting, `read_timeout`
    seconds any silence, and `timeout` seconds a request with all that is repeated of it: up to `retry_attempts` times,
    not before the end of a Retry-After, and only where the method is idempotent, an Idempotency-Key says that it may
    be, or it certainly had no effect. With `idempotency_keys=True` the API honours such keys, and each request that
    needs one has one. After too many failures in a row the host is not asked for a while, as `breaker` says. An answer
    is read up to `max_response_bytes`; redirects are not followed. `health_path` is asked for the health of the API;
    without it, it warns where the last request went wrong. Nothing that was sent or answered is shown in an error or in
    a log of ours.

    Raises HttpError for a base URL that names no server, and ValueError for a limit that makes no sense.
    """
    try:
        from heykit.resources._http import open_http
        from heykit.resources._http_exchange import HttpLimits
        from heykit.resources._http_link import Phases
    except ModuleNotFoundError as error:
        raise HttpError("http_api needs httpx2: pip install 'heykit[http]'") from error
    phases = Phases(connection_timeout, read_timeout)
    limits = HttpLimits(max_connections, phases, timeout, retry_attempts, max_response_bytes, breaker)
    return open_http(
        base_url,
        limits,
        headers=headers,
        health_path=health_path,
        idempotency_keys=idempotency_keys,
        tls=tls,
    )
