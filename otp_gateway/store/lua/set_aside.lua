-- set_aside.lua: take one hash of a phone away, so that an operator can put it back for some minutes.
--
-- KEYS   1  otp:{pid}:code or otp:{pid}:tries   hash, TTL as it was; deleted by this script
--        2  otp:{pid}:undo:<id>                 the same hash, TTL ARGV 2 or its own, whichever is shorter
-- ARGV   1  deadline in ms of Redis's time
--        2  for how long it can be put back, ms
-- REPLY  {'done'}      also when an earlier attempt of this call has done it
--        {'nothing'}   there is no such hash
--        {'late'}      the deadline has come: nothing was done
--
-- The field 'restore' holds the key's own expiry.

local now = now_ms()
if redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'done' }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
local left = redis.call('PTTL', KEYS[1])
if left <= 0 then
  return { 'nothing' }
end
redis.call('HSET', KEYS[1], 'restore', string.format('%.0f', now + left))
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], math.min(left, tonumber(ARGV[2])))
return { 'done' }
