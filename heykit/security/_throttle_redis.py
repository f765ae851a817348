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

# KEYS: account, and address if there is one   ARGV: now, then for each: the seconds of its limit, those of one attempt
#   -> 0, or which of them is too many, and the seconds to wait. The arithmetic is that of `_throttle`.
ATTEMPT: Final = """
local now = tonumber(ARGV[1])
local paid = {}
local function keep(at, until_)
  redis.call('SET', KEYS[at], string.format('%.6f', until_), 'PX', math.max(1, math.ceil(1000 * (until_ - now))))
end
for at = 1, #KEYS do
  local per, each = tonumber(ARGV[2 * at]), tonumber(ARGV[2 * at + 1])
  local found = tonumber(redis.call('GET', KEYS[at]) or '') or now
  local is_absurd = found > now + 2 * per
  paid[at] = is_absurd and now + per or math.max(found, now)
  local seconds = paid[at] - now - (per - each)
  if seconds > 0.001 then
    if is_absurd then keep(at, paid[at]) end
    return {at, string.format('%.6f', seconds)}
  end
end
for at = 1, #KEYS do keep(at, paid[at] + ARGV[2 * at + 1]) end
return {0, '0'}
"""
# KEYS: account, and address if there is one   ARGV: the seconds of one attempt of each
SUCCEEDED: Final = """
for at = 1, #KEYS do
  local paid = tonumber(redis.call('GET', KEYS[at]) or '')
  if paid then redis.call('SET', KEYS[at], string.format('%.6f', paid - ARGV[at]), 'KEEPTTL') end
end
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
        if self._is_away:  # it was counted here
            await self._own.succeeded(account, address)
            return
        try:
            await self._run(SUCCEEDED, account, address, self._account.each, self._address.each)
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
        of_address = address_name(address)
        names = [f"{self._prefix}account:{account_name(account)}"]
        names += [] if of_address is None else [f"{self._prefix}address:{of_address}"]
        told = (repr(float(number)) for number in arguments)
        return await self._commands.execute("EVAL", script, len(names), *names, *told)

    def _told(self, *, is_away: bool) -> None:
        if is_away is not self._is_away:
            self._is_away = is_away
            logger.warning(
                "Redis is away: attempts to log in are counted in this process alone"
                if is_away
                else "Redis is back: attempts to log in are counted there again"
            )
