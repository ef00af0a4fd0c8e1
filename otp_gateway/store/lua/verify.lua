-- verify.lua: compare one guess; a right one uses the code and opens a session.
--
-- KEYS   1  otp:{pid}:code            hash, TTL the code's lifetime; a right guess leaves phone and 'verified'
--        2  otp:{pid}:tries           hash, TTL the expiry of the tries or of a budget in it, whichever is later
--        3  otp:{pid}:sends           list, only read
--        4  otp:{pid}:call:<id>       string, TTL ARGV 13: the answer to this call, 'login time:call' or the tries left;
--                                     with a fingerprint, that and a blank before it
--        5  otp:{pid}:session:<sid>   hash, TTL the session's lifetime
--        6  otp:{pid}:sessions        sorted set of session ids by login, TTL the session's lifetime
-- ARGV   1  deadline in ms of Redis's time
--        2  the client
--        3  digest of the guess
--        4  a code's lifetime, ms
--        5  tries of a code
--        6  failure budget of a client
--        7  failure budget of the phone
--        8  period of the budgets, ms
--        9  session id
--       10  refresh token id
--       11  the session's lifetime, ms
--       12  sessions that a phone may have
--       13  how long an answer is kept for a repeated call, ms
--       14  fingerprint of the request's body; empty without an idempotency key
-- REPLY  {'verified', Redis's time in ms, 1 after a call or 0}
--        {'wrong', tries left}
--        {'locked', ms to wait, limit}   no try left, or a failure budget is used up: nothing was compared;
--                                        limit: tries, client_failures or phone_failures
--        {'reused'}               the call was made with another body: nothing was done
--        {'late'}                 the deadline has come: nothing was done
--
-- A phone without an active code is counted and answered exactly like one whose code was guessed wrong. If it had
-- no send within a period, its counts expire with the tries: no such guess can be right.
-- Right or wrong, the first write is one that a Redis without memory refuses: no guess is uncounted then.
-- A session is valid only while its id is in the sorted set: so an eleventh login ends the oldest.

local now = now_ms()
local life, tries, period, keep = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[8]), tonumber(ARGV[13])

local mark = ARGV[14] == '' and '' or ARGV[14] .. ' '
local answered = redis.call('GET', KEYS[4])
if answered then
  -- An earlier attempt of this call ran, or an earlier request with the same idempotency key.
  if string.sub(answered, 1, #mark) ~= mark then
    return { 'reused' }
  end
  answered = string.sub(answered, #mark + 1)
  local login, call = string.match(answered, '^(%d+):(%d)$')
  if login then
    return { 'verified', tonumber(login), tonumber(call) }
  end
  return { 'wrong', tonumber(answered) }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

local client = ':' .. ARGV[2]
local sent = was_sent(KEYS[3], now, period)
local state = read_tries(KEYS[2], now)
local by_phone, phone_wait = read_budget(state, '', sent, now)
local by_client, client_wait = read_budget(state, client, sent, now)
local wait, limit = 0, nil
if state.used >= tries then
  wait, limit = state.ends - now + 1, 'tries'
end
if by_client >= tonumber(ARGV[6]) then
  wait, limit = math.max(wait, client_wait), 'client_failures'
end
if by_phone >= tonumber(ARGV[7]) then
  wait, limit = math.max(wait, phone_wait), 'phone_failures'
end
if limit then
  return { 'locked', wait, limit }
end

local live = redis.call('HMGET', KEYS[1], 'digest', 'channel')
if live[1] == ARGV[3] then
  local call = 0
  if live[2] == 'call' then
    call = 1
  end
  local session_life = tonumber(ARGV[11])
  redis.call('HSET', KEYS[5], 'refresh', ARGV[10], 'login', string.format('%.0f', now), 'call', call)
  redis.call('PEXPIRE', KEYS[5], session_life)
  -- Used: what is left says only that, to the panel, and for as long as the code would have been valid.
  redis.call('HSET', KEYS[1], 'verified', 1)
  redis.call('HDEL', KEYS[1], 'nonce', 'digest', 'channel', 'replaced')
  redis.call('HDEL', KEYS[2], 'tries', 'tries_end', 'failures' .. client, 'unsent', 'unsent' .. client)
  redis.call('SET', KEYS[4], string.format('%s%.0f:%d', mark, now, call), 'PX', keep)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('%.0f', now - session_life))
  redis.call('ZADD', KEYS[6], string.format('%.0f', now), ARGV[9])
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -1 - tonumber(ARGV[12]))
  redis.call('PEXPIRE', KEYS[6], session_life)
  return { 'verified', now, call }
end

state.used = state.used + 1
if state.used == 1 then
  state.ends = now + life
end
local kind = sent and 'failures' or 'unsent'
local fields = { 'tries', state.used, 'tries_end', string.format('%.0f', state.ends) }
for _, field in ipairs({ kind, kind .. client }) do
  local one = state.counts[field] or { count = 0, ends = now + period }
  one.count = one.count + 1
  state.counts[field] = one
  fields[#fields + 1] = field
  fields[#fields + 1] = string.format('%d:%.0f', one.count, one.ends)
end
redis.call('HSET', KEYS[2], unpack(fields))
if #state.expired > 0 then
  redis.call('HDEL', KEYS[2], unpack(state.expired))
end
local ends = state.ends
for field, one in pairs(state.counts) do
  if string.sub(field, 1, 8) == 'failures' then
    ends = math.max(ends, one.ends)
  end
end
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', ends))
local left = math.min(tries - state.used, tonumber(ARGV[7]) - by_phone - 1, tonumber(ARGV[6]) - by_client - 1)
-- A small number takes no memory of its own.
redis.call('SET', KEYS[4], mark .. left, 'PX', keep)
return { 'wrong', left }
