-- set_aside.lua: remove hashes of a phone, and keep them for some minutes, so that an operator can put them back.
--
-- KEYS   1  otp:{pid}:code or otp:{pid}:tries       hash, TTL as it was; deleted by this script
--        2  otp:{pid}:undo:<id>                     the same hash, TTL the shorter of ARGV 2 and its own
--        3  otp:{pid}:d:code or otp:{pid}:d:tries   the same as 1 in the device lane, TTL as there
--        4  otp:{pid}:d:undo:<id>                   the same as 2 in the device lane, TTL as there
-- ARGV   1  deadline in ms of Redis's time
--        2  how long they can be put back, ms
-- REPLY  {'done'}      also when an earlier attempt of this call has done it
--        {'nothing'}   there is no such hash
--        {'late'}      the deadline has passed: no key was changed
--
-- The field 'restore' holds the key's own expiry.

local now = now_ms()
if redis.call('EXISTS', KEYS[2], KEYS[4]) > 0 then
  return { 'done' }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
local tag = 'nothing'
for kept = 1, #KEYS, 2 do
  local undo = kept + 1
  local left = redis.call('PTTL', KEYS[kept])
  if left > 0 then
    redis.call('HSET', KEYS[kept], 'restore', string.format('%.0f', now + left))
    redis.call('RENAME', KEYS[kept], KEYS[undo])
    redis.call('PEXPIRE', KEYS[undo], math.min(left, tonumber(ARGV[2])))
    tag = 'done'
  end
end
return { tag }
