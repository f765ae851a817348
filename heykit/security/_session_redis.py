"""Sessions in Redis: each step one script, which runs whole or not at all.

A session is a hash; the sessions of a user are a sorted set of ids by the time of login, and those of all are one by
the time they end; a user's epoch is a number. Scripts make these names themselves: it is for one server, no cluster.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from heykit.errors import HeykitError
from heykit.security._session import Session
from heykit.security.protocol import Commands

_FIELDS: Final = (
    "user", "created_at", "seen_at", "ends_at", "expires_at", "ip", "user_agent", "epoch", "generation", "rotated_at",
)  # fmt: skip
_DAY: Final = 86_400.0  # seconds
_MOST_COUNTED: Final = 10_000
_SWEPT_AT_ONCE: Final = 1000

# ARGV[1]: the prefix of all names   ARGV[2]: the id of a session
# A session of another epoch than its user's is not there.
_FIND: Final = """
local prefix = ARGV[1]
local function find(id)
  local found = redis.call('HMGET', prefix .. 's:' .. id, 'user', 'created_at', 'seen_at', 'ends_at', 'expires_at',
    'ip', 'user_agent', 'epoch', 'generation', 'rotated_at')
  if not found[1] or found[8] ~= (redis.call('GET', prefix .. 'e:' .. found[1]) or '0') then return false end
  found[#found + 1] = id
  return found
end
local function drop(id)
  local user = redis.call('HGET', prefix .. 's:' .. id, 'user')
  redis.call('DEL', prefix .. 's:' .. id)
  redis.call('ZREM', prefix .. 'all', id)
  if user then redis.call('ZREM', prefix .. 'u:' .. user, id) end
end
local function keep(user, id, created_at)
  local ids = prefix .. 'u:' .. user
  redis.call('ZADD', ids, created_at, id)
  -- As long as any session in it may last, whatever the rules are by now.
  if redis.call('PTTL', ids) < tonumber(ARGV[#ARGV]) then redis.call('PEXPIRE', ids, ARGV[#ARGV]) end
end
local function ends(id, at, left)
  redis.call('PEXPIRE', prefix .. 's:' .. id, left)
  redis.call('ZADD', prefix .. 'all', at, id)
end
"""
FIND: Final = _FIND + "return find(ARGV[2])"
REMOVE: Final = _FIND + "local found = find(ARGV[2]); drop(ARGV[2]); return found"

# ARGV[2]: the user   -> their sessions, the oldest first
OF_USER: Final = (
    _FIND
    + """
local sessions = {}
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'u:' .. ARGV[2], 0, -1)) do
  local found = find(id)
  if found then
    sessions[#sessions + 1] = found
  else
    drop(id)
    redis.call('ZREM', prefix .. 'u:' .. ARGV[2], id)
  end
end
return sessions
"""
)

# ARGV[2]: id, [3]: user, [4]: most, [5]: now, [6]: swept at once, [7]: milliseconds it has left,
#   [8...]: fields and values but the epoch, and last the milliseconds its user's sessions stay
#   -> the epoch, then the sessions that had to leave
ADD: Final = (
    _FIND
    + """
local id, user, now = ARGV[2], ARGV[3], tonumber(ARGV[5])
for _, ended in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'all', '-inf', now, 'LIMIT', 0, ARGV[6])) do
  drop(ended)
end
local held = {}
for _, other in ipairs(redis.call('ZRANGE', prefix .. 'u:' .. user, 0, -1)) do
  local found = find(other)
  if found and tonumber(found[4]) > now then held[#held + 1] = found else drop(other) end
end
local epoch = redis.call('GET', prefix .. 'e:' .. user) or '0'
local answer = {epoch}
for at = 1, #held + 1 - tonumber(ARGV[4]) do
  answer[#answer + 1] = held[at]
  drop(held[at][11])
end
redis.call('HSET', prefix .. 's:' .. id, 'epoch', epoch, unpack(ARGV, 8, #ARGV - 1))
keep(user, id, redis.call('HGET', prefix .. 's:' .. id, 'created_at'))
ends(id, redis.call('HGET', prefix .. 's:' .. id, 'ends_at'), ARGV[7])
return answer
"""
)

# ARGV[2]: id, [3]: seen at, [4]: ends at, [5]: milliseconds it has left
TOUCH: Final = (
    _FIND
    + """
local found = find(ARGV[2])
if not found or tonumber(found[3]) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', prefix .. 's:' .. ARGV[2], 'seen_at', ARGV[3], 'ends_at', ARGV[4])
ends(ARGV[2], ARGV[4], ARGV[5])
return 1
"""
)

# ARGV[2]: id, [3]: generation, [4]: seen at, [5]: ends at, [6]: milliseconds it has left
ADVANCE: Final = (
    _FIND
    + """
local found = find(ARGV[2])
if not found or tonumber(found[9]) ~= tonumber(ARGV[3]) - 1 then return 0 end
redis.call('HSET', prefix .. 's:' .. ARGV[2], 'generation', ARGV[3], 'rotated_at', ARGV[4], 'seen_at', ARGV[4],
  'ends_at', ARGV[5])
ends(ARGV[2], ARGV[5], ARGV[6])
return 1
"""
)

# ARGV[2]: id, [3]: new id, [4]: seen at, [5]: ends at, [6]: milliseconds it has left, [7]: those its user's stay
RENAME: Final = (
    _FIND
    + """
local found = find(ARGV[2])
if not found then return false end
local session = prefix .. 's:' .. ARGV[3]
redis.call('HSET', session, 'user', found[1], 'created_at', found[2], 'seen_at', ARGV[4], 'ends_at', ARGV[5],
  'expires_at', found[5], 'ip', found[6], 'user_agent', found[7], 'epoch', found[8],
  'generation', 0, 'rotated_at', ARGV[4])
keep(found[1], ARGV[3], found[2])
drop(ARGV[2])
ends(ARGV[3], ARGV[5], ARGV[6])
return find(ARGV[3])
"""
)

# ARGV[2]: user, [3]: the id to keep   -> the sessions that ended
# An epoch stays for good: were it to begin again, what it ended would live once more.
REMOVE_ALL: Final = (
    _FIND
    + """
local user = ARGV[2]
local ended = {}
local kept = false
for _, id in ipairs(redis.call('ZRANGE', prefix .. 'u:' .. user, 0, -1)) do
  local found = find(id)
  if found and id == ARGV[3] then
    kept = true
  else
    if found then ended[#ended + 1] = found end
    drop(id)
  end
end
local epoch = redis.call('INCR', prefix .. 'e:' .. user)
if kept then redis.call('HSET', prefix .. 's:' .. ARGV[3], 'epoch', epoch) end
return ended
"""
)


class SessionsInRedis:
    """`longest` is how long a session may last, in seconds: what belongs to users stays a day longer."""

    def __init__(self, commands: Commands, prefix: str, longest: float) -> None:
        self._commands = commands
        self._prefix = prefix
        self._stays = math.ceil(1000 * (longest + _DAY))

    async def add(self, session: Session, /, *, limit: int, now: float) -> tuple[Session, Sequence[Session]]:
        answer = _listed(
            await self._run(
                ADD,
                session.id,
                session.user,
                limit,
                repr(now),
                _SWEPT_AT_ONCE,
                _left(session, now),
                *_written(session),
                self._stays,
            )
        )
        epoch = int(_text(answer[0]))
        return replace(session, epoch=epoch), [_session(each) for each in answer[1:]]

    async def find(self, id: str, /) -> Session | None:
        return _maybe(await self._run(FIND, id))

    async def of_user(self, user: str, /) -> Sequence[Session]:
        return [_session(each) for each in _listed(await self._run(OF_USER, user))]

    async def touch(self, session: Session, /, *, now: float) -> None:
        await self._run(TOUCH, session.id, repr(session.seen_at), repr(session.ends_at), _left(session, now))

    async def advance(self, session: Session, /, *, now: float) -> bool:
        done = await self._run(
            ADVANCE,
            session.id,
            session.generation,
            repr(session.rotated_at),
            repr(session.ends_at),
            _left(session, now),
        )
        return done == 1

    async def rename(self, session: Session, id: str, /, *, now: float) -> Session | None:
        renamed = await self._run(
            RENAME,
            session.id,
            id,
            repr(session.seen_at),
            repr(session.ends_at),
            _left(session, now),
            self._stays,
        )
        return _maybe(renamed)

    async def remove(self, id: str, /) -> Session | None:
        return _maybe(await self._run(REMOVE, id))

    async def remove_all(self, user: str, /, *, keep: str | None) -> Sequence[Session]:
        ended = await self._run(REMOVE_ALL, user, keep or "")
        return [_session(each) for each in _listed(ended)]

    async def epoch(self, user: str, /) -> int:
        found = await self._commands.execute("GET", f"{self._prefix}e:{user}")
        return 0 if found is None else int(_text(found))

    async def count(self, *, now: float) -> int:
        found = await self._commands.execute("ZCOUNT", f"{self._prefix}all", f"({now!r}", "+inf")
        assert isinstance(found, int)
        return min(found, _MOST_COUNTED)

    async def _run(self, script: str, *arguments: str | float) -> object:
        # No name in KEYS: the scripts make them, so that the user of a session need not be asked for first.
        return await self._commands.execute("EVAL", script, 0, self._prefix, *arguments)


def _written(session: Session) -> list[str]:
    """Give fields and values, without the epoch, which only Redis knows."""
    values: list[str] = []
    for name in _FIELDS:
        if name != "epoch":
            value: object = getattr(session, name)
            values += (name, repr(value) if isinstance(value, float) else str(value))
    return values


def _left(session: Session, now: float) -> int:
    return max(1, math.ceil(1000 * (session.ends_at - now)))


def _maybe(found: object) -> Session | None:
    return _session(found) if isinstance(found, list) else None


def _session(found: object) -> Session:
    values = [_text(value) for value in _listed(found)]
    if len(values) != len(_FIELDS) + 1:
        raise HeykitError("Redis holds a session that is none of ours: give sessions a prefix of their own.")
    told = dict(zip((*_FIELDS, "id"), values, strict=True))
    return Session(
        id=told["id"],
        user=told["user"],
        created_at=float(told["created_at"]),
        seen_at=float(told["seen_at"]),
        ends_at=float(told["ends_at"]),
        expires_at=float(told["expires_at"]),
        ip=told["ip"],
        user_agent=told["user_agent"],
        epoch=int(told["epoch"]),
        generation=int(told["generation"]),
        rotated_at=float(told["rotated_at"]),
    )


def _listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def _text(value: object) -> str:
    assert isinstance(value, bytes)
    return value.decode("utf-8")
