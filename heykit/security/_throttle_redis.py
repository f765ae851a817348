"""Attempts counted in Redis: looked at, counted and given their end in one script."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from heykit.errors import Unavailable
from heykit.health import Health
from heykit.security._throttle import Limit, account_name, address_name, too_many
from heykit.security._throttle_memory import ThrottleInMemory
from heykit.security.protocol import Commands

# KEYS: account, address   ARGV: now, then for each of both: the seconds of its limit, those of one attempt
#   -> "ok", or which of them is too many and the seconds to wait. The arithmetic is that of `_throttle`.
ATTEMPT: Final = """
local now = tonumber(ARGV[1])
local function paid(at)
  local found = tonumber(redis.call('GET', KEYS[at]) or '') or now
  if found < now or found > now + ARGV[2 * at] + 0.001 then return now end
  return found
end
for at = 1, 2 do
  local per, each = tonumber(ARGV[2 * at]), tonumber(ARGV[2 * at + 1])
  local seconds = paid(at) - now - (per - each)
  if seconds > 0.001 then return {at, string.format('%.6f', seconds)} end
end
for at = 1, 2 do
  local following = paid(at) + ARGV[2 * at + 1]
  redis.call('SET', KEYS[at], string.format('%.6f', following), 'PX', math.ceil(1000 * (following - now)))
end
return {0, '0'}
"""
# KEYS: account, address   ARGV: the seconds of one attempt of an address
SUCCEEDED: Final = """
redis.call('DEL', KEYS[1])
local paid = tonumber(redis.call('GET', KEYS[2]) or '')
if paid then redis.call('SET', KEYS[2], string.format('%.6f', paid - ARGV[1]), 'KEEPTTL') end
return 1
"""

logger = logging.getLogger("heykit.security")


class ThrottleInRedis:
    def __init__(
        self, commands: Commands, prefix: str, account: Limit, address: Limit, now: Callable[[], float]
    ) -> None:
        self._commands = commands
        self._prefix = prefix
        self._account, self._address = account, address
        self._now = now
        self._own = ThrottleInMemory(account, address, 100_000, now)  # while Redis is away
        self._attempts = 0
        self._throttled = [0, 0]
        self._is_away = False

    async def attempt(self, account: str, address: str, /) -> None:
        limits = (self._account.per, self._account.each, self._address.per, self._address.each)
        try:
            answer = await self._run(ATTEMPT, account, address, self._now(), *limits)
        except Unavailable:
            self._told(is_away=True)
            await self._own.attempt(account, address)
            return
        self._told(is_away=False)
        assert isinstance(answer, list)
        which, seconds = answer
        if which:
            self._throttled[which - 1] += 1
            raise too_many(("account", "address")[which - 1], float(seconds))
        self._attempts += 1

    async def succeeded(self, account: str, address: str, /) -> None:
        await self._own.succeeded(account, address)
        try:
            await self._run(SUCCEEDED, account, address, self._address.each)
        except Unavailable:
            self._told(is_away=True)

    async def health(self) -> Health:
        if self._is_away:
            return Health("warn", "security", "Redis is away: each process counts for itself", self.stats())
        return Health("pass", "security", figures=self.stats())

    def stats(self) -> Mapping[str, int]:
        own = self._own.stats()
        return {
            "attempts": self._attempts + own["attempts"],
            "throttled_by_account": self._throttled[0] + own["throttled_by_account"],
            "throttled_by_address": self._throttled[1] + own["throttled_by_address"],
        }

    async def _run(self, script: str, account: str, address: str, *arguments: float) -> object:
        names = (f"{self._prefix}account:{account_name(account)}", f"{self._prefix}address:{address_name(address)}")
        return await self._commands.execute("EVAL", script, 2, *names, *(f"{number:.6f}" for number in arguments))

    def _told(self, *, is_away: bool) -> None:
        if is_away is not self._is_away:
            self._is_away = is_away
            logger.warning(
                "Redis is away: attempts to log in are counted in this process alone"
                if is_away
                else "Redis is back: attempts to log in are counted there again"
            )
