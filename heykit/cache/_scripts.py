"""What Redis does in one step for a cache, in its own language; each runs whole or not at all.

Redis manual, "Scripting with Lua": a script is atomic, and names every key it touches in KEYS.
"""

from __future__ import annotations

from typing import Final

# What is of another type than ours is nothing of ours; whoever writes there replaces it.
_GET: Final = """
local function get(key)
  local value = redis.pcall('GET', key)
  if type(value) == 'table' then return false end
  return value
end
"""

# KEYS: value, lock, generation, tags...   -> value, milliseconds it has left, who loads it, the stamps
LOOK: Final = (
    _GET
    + """
local found = {get(KEYS[1]), redis.call('PTTL', KEYS[1])}
for at = 2, #KEYS do found[#found + 1] = get(KEYS[at]) end
return found
"""
)

# KEYS: generation, values...   -> the stamp, then each value with the milliseconds it has left
LOOK_MANY: Final = (
    _GET
    + """
local found = {get(KEYS[1])}
for at = 2, #KEYS do
  found[#found + 1] = get(KEYS[at])
  found[#found + 1] = redis.call('PTTL', KEYS[at])
end
return found
"""
)

# KEYS: generation, then each value with its lock   ARGV: what stands before the stamp, a new stamp, milliseconds or 0,
#   then what stands behind the stamp of each
# A load under way loses its right to keep what it brings: that is older.
SET: Final = (
    _GET
    + """
local stamp = get(KEYS[1])
if not stamp then
  stamp = ARGV[2]
  redis.call('SET', KEYS[1], stamp)
end
local head = ARGV[1] .. string.sub(stamp, 1, 8)
for at = 2, #KEYS, 2 do
  local data = head .. ARGV[3 + at / 2]
  if ARGV[3] == '0' then redis.call('SET', KEYS[at], data) else redis.call('SET', KEYS[at], data, 'PX', ARGV[3]) end
  redis.call('DEL', KEYS[at + 1])
end
return 1
"""
)

# KEYS: lock, value, generation, tags...   ARGV: claim, milliseconds, new stamps...
#   -> the claim where it is ours, the value, milliseconds it has left, the stamps, which are made where there are none
# A claim ends with one of its stamps: whoever made it under an older one may not keep what it loads.
CLAIM: Final = (
    _GET
    + """
local stamps = {}
for at = 3, #KEYS do
  local stamp = get(KEYS[at])
  if not stamp then
    stamp = ARGV[at]
    if at == 3 then
      redis.call('SET', KEYS[at], stamp)
    else
      redis.call('SET', KEYS[at], stamp, 'PX', 86400000)
    end
  end
  stamps[#stamps + 1] = stamp
end
local under = redis.sha1hex(table.concat(stamps))
local held = get(KEYS[1])
local taken = false
if not held or string.sub(held, 9) ~= under then
  taken = ARGV[1] .. under
  redis.call('SET', KEYS[1], taken, 'PX', ARGV[2])
end
local found = {taken, get(KEYS[2]), redis.call('PTTL', KEYS[2])}
for at = 1, #stamps do found[at + 3] = stamps[at] end
return found
"""
)

# KEYS: lock, value, tags...   ARGV: claim, data, milliseconds or 0   -> 1 where it is kept
# The stamp of a tag outlives every value under it, by far: whoever keeps copies hears each time it is given longer.
KEEP: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
if ARGV[3] == '0' then
  redis.call('SET', KEYS[2], ARGV[2])
else
  redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
end
for at = 3, #KEYS do
  local left = redis.call('PTTL', KEYS[at])
  if left >= 0 and ARGV[3] == '0' then
    redis.call('PERSIST', KEYS[at])
  elseif left >= 0 and left < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[at], 2 * tonumber(ARGV[3]) + 86400000)
  end
end
return 1
"""

# KEYS: lock   ARGV: claim, milliseconds   -> 1 where the claim is still ours
RENEW: Final = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: lock   ARGV: claim
RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

# KEYS: value, lock   -> 1 where there was a value
DROP: Final = """
redis.call('DEL', KEYS[2])
return redis.call('DEL', KEYS[1])
"""

# KEYS: those to drop, any number of them
FORGET: Final = "for at = 1, #KEYS do redis.call('DEL', KEYS[at]) end return 1"

# KEYS: generation   ARGV: a new stamp, the run of the server, 1 where any may have written what is there
# What another run of the server wrote is not to be trusted: what changed since it was last saved is lost.
ADOPT: Final = """
if redis.call('TYPE', KEYS[1]).ok ~= 'string' then redis.call('DEL', KEYS[1]) end
local stamp = redis.call('GET', KEYS[1])
if not stamp or string.sub(stamp, 9) ~= ARGV[2] or ARGV[3] == '1' then
  redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2])
end
return 1
"""
