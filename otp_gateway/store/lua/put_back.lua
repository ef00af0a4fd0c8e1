-- put_back.lua: undo set_aside.lua.
--
-- KEYS   1  otp:{pid}:code or otp:{pid}:tries       hash, TTL as it was before set_aside.lua
--        2  otp:{pid}:undo:<id>                     hash, TTL as set_aside.lua set it; deleted by this script
--        3  otp:{pid}:d:code or otp:{pid}:d:tries   the same as 1 in the device lane, TTL as there
--        4  otp:{pid}:d:undo:<id>                   the same as 2 in the device lane, TTL as there
-- ARGV   1  deadline in ms of Redis's time
-- REPLY  {'done'}
--        {'nothing'}   it is too late, or there are newer hashes
--        {'late'}      the deadline has passed: no key was changed

local now = now_ms()
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
local tag = 'nothing'
for kept = 1, #KEYS, 2 do
  local undo = kept + 1
  local ends = redis.call('HGET', KEYS[undo], 'restore')
  if ends and tonumber(ends) > now and redis.call('EXISTS', KEYS[kept]) == 0 then
    redis.call('RENAME', KEYS[undo], KEYS[kept])
    redis.call('HDEL', KEYS[kept], 'restore')
    redis.call('PEXPIREAT', KEYS[kept], ends)
    tag = 'done'
  else
    redis.call('DEL', KEYS[undo])
  end
end
return { tag }
