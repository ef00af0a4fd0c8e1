-- put_back.lua: undo set_aside.lua.
--
-- KEYS   1  otp:{pid}:code or otp:{pid}:tries   hash, TTL as it was before set_aside.lua
--        2  otp:{pid}:undo:<id>                 hash, TTL as set_aside.lua set it; deleted by this script
-- ARGV   1  deadline in ms of Redis's time
-- REPLY  {'done'}
--        {'nothing'}   it is too late, or a newer hash has taken its place
--        {'late'}      the deadline has come: nothing was done

local now = now_ms()
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
local ends = redis.call('HGET', KEYS[2], 'restore')
if not ends or tonumber(ends) <= now or redis.call('EXISTS', KEYS[1]) == 1 then
  redis.call('DEL', KEYS[2])
  return { 'nothing' }
end
redis.call('RENAME', KEYS[2], KEYS[1])
redis.call('HDEL', KEYS[1], 'restore')
redis.call('PEXPIREAT', KEYS[1], ends)
return { 'done' }
