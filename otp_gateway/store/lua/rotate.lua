-- rotate.lua: exchange a refresh token for the next one of its session.
--
-- KEYS   1  otp:{pid}:session:<sid>   hash, TTL as verify.lua set it, never extended; deleted if the session is over
--        2  otp:{pid}:sessions        sorted set, TTL as verify.lua set it
--        3  otp:{pid}:call:<id>       string, TTL ARGV 9: 'fingerprint time:refresh token id:access token id'
-- ARGV   1  deadline in ms of Redis's time
--        2  session id
--        3  id of the presented refresh token
--        4  id of the next refresh token
--        5  id of the next access token
--        6  grace: how long a used token gets its successors again, ms
--        7  how many used tokens of a session are remembered
--        8  fingerprint of the request's body; empty without an idempotency key
--        9  how long the answer is kept for a repeated request with this key, ms
-- REPLY  {'rotated', issued at in ms, login in ms, channel (0 sms, 1 call, 2 test), refresh token id, access token id}
--        {'ended'}     the token was used before the grace began: there is a copy of it, so the session is over now
--        {'unknown'}   there is no such session
--        {'busy', ms to wait}   as many refreshes within the grace as are remembered: no key was changed
--        {'reused'}    the idempotency key was used with another body: no key was changed
--        {'late'}      the deadline has passed: no key was changed
--
-- A used token is remembered in the field 's:<id>', with the time of its use and its successors. So a client that did
-- not receive the reply, a second tab, and a repeated attempt of this call all get the same answer.

local now = now_ms()
local presented, grace = ARGV[3], tonumber(ARGV[6])

local session = redis.call('HMGET', KEYS[1], 'refresh', 'login', 'call', 's:' .. presented)
local alive = session[1] and redis.call('ZSCORE', KEYS[2], ARGV[2])
local login, call = tonumber(session[2] or 0), tonumber(session[3] or 0)

if ARGV[8] ~= '' then
  local mark, used, refresh, access = string.match(redis.call('GET', KEYS[3]) or '', '^(%S+) (%d+):([^:]+):([^:]+)$')
  if mark and mark ~= ARGV[8] then
    return { 'reused' }
  end
  -- This is done only if the successor is unused. Otherwise the presented token is like any other used token.
  if mark and alive and session[1] == refresh then
    return { 'rotated', tonumber(used), login, call, refresh, access }
  end
end
if alive and session[4] then
  local used, refresh, access = string.match(session[4], '^(%d+):([^:]+):([^:]+)$')
  if now - tonumber(used) < grace then
    return { 'rotated', tonumber(used), login, call, refresh, access }
  end
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

if not alive or session[1] ~= presented then
  -- If an eleventh login has ended the session, its hash is still there.
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[2])
  if alive then
    return { 'ended' }
  end
  return { 'unknown' }
end

local fields = redis.call('HGETALL', KEYS[1])
local remembered, oldest, expired = 0, now, {}
for i = 1, #fields, 2 do
  local used = tonumber(string.match(fields[i + 1], '^(%d+):') or '')
  if used and now - used >= grace then
    expired[#expired + 1] = fields[i]
  elseif used then
    remembered = remembered + 1
    oldest = math.min(oldest, used)
  end
end
if remembered >= tonumber(ARGV[7]) then
  return { 'busy', oldest + grace - now }
end
redis.call('HSET', KEYS[1], 'refresh', ARGV[4], 's:' .. presented, string.format('%.0f:%s:%s', now, ARGV[4], ARGV[5]))
if #expired > 0 then
  redis.call('HDEL', KEYS[1], unpack(expired))
end
if ARGV[8] ~= '' then
  redis.call('SET', KEYS[3], string.format('%s %.0f:%s:%s', ARGV[8], now, ARGV[4], ARGV[5]), 'PX', ARGV[9])
end
return { 'rotated', now, login, call, ARGV[4], ARGV[5] }
