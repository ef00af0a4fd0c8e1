-- revoke.lua: end a session.
--
-- KEYS   1  otp:{pid}:session:<sid>   hash, TTL set at login; deleted
--        2  otp:{pid}:sessions        sorted set, TTL as verify.lua set it
-- ARGV   1  deadline in ms of Redis's time
--        2  session id
-- REPLY  {'revoked'}   also when there was none
--        {'late'}      the deadline has come: nothing was done

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return { 'revoked' }
