-- revoke.lua: end a session.
--
-- KEYS   1  otp:{pid}:session:<sid>   hash, TTL as verify.lua set it; deleted by this script
--        2  otp:{pid}:sessions        sorted set, TTL as verify.lua set it
-- ARGV   1  deadline in ms of Redis's time
--        2  session id
-- REPLY  {'revoked'}   also if there was no such session
--        {'late'}      the deadline has passed: no key was changed

local now = now_ms()

if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return { 'revoked' }
