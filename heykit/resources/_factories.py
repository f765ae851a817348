"""The ways to open what lies behind a driver, which is imported when it is first asked for."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from heykit._connection_limits import Limits
from heykit.resources.protocol import Redis


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
