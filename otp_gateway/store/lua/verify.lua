-- verify.lua: compare one guess; a right one spends the code and opens a session.
--
-- KEYS   1  otp:{pid}:code                 hash, TTL the code's life; a right guess leaves phone and 'verified'
--        2  otp:{pid}:attempts             hash, TTL the end of the tries in it or ARGV 13, whichever is later
--        3  otp:{pid}:failures             integer, TTL 24 h from its first failure
--        4  otp:{pid}:failures:<client>    integer, TTL 24 h from its first failure; deleted by a right guess
--        5  otp:{pid}:session:<sid>        hash, TTL the session's life
--        6  otp:{pid}:sessions             sorted set of session ids by login, TTL the session's life
-- ARGV   1  deadline in ms of Redis's time
--        2  request id
--        3  digest of the guess
--        4  a code's life, ms
--        5  tries of a code
--        6  failure budget of a client
--        7  failure budget of the phone
--        8  period of the budgets, ms
--        9  session id
--       10  refresh token id
--       11  the session's life, ms
--       12  sessions that a phone may have
--       13  how long an answer is kept for a repeated request, ms
-- REPLY  {'verified', Redis's time in ms, 1 after a call or 0}
--        {'wrong', tries left}
--        {'locked', ms to wait, limit}   no try left, or a failure budget is spent: nothing was compared;
--                                        limit: tries, client_failures or phone_failures
--        {'late'}                 the deadline has come: nothing was done
--
-- A phone without a live code is counted and answered exactly like one whose code was guessed wrong.
-- Right or wrong, the first write is one that a Redis without memory refuses: nobody guesses uncounted then.
-- A session is alive only while it stands in the sorted set: so an eleventh login ends the oldest.

local now = now_ms()
local life, tries, keep = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[13])
local mine = 'r:' .. ARGV[2]

local answered = redis.call('HGET', KEYS[2], mine)
if answered then
  -- An earlier attempt of this request ran and its reply was lost.
  local tag, first, second = string.match(answered, '^%d+:(%a+):(%d+):(%d+)$')
  if tag == 'wrong' then
    return { tag, tonumber(first) }
  end
  return { tag, tonumber(first), tonumber(second) }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

local used, ends = read_tries(KEYS[2], now)
local by_phone = tonumber(redis.call('GET', KEYS[3]) or 0)
local by_client = tonumber(redis.call('GET', KEYS[4]) or 0)
local wait, limit = 0, nil
if used >= tries then
  wait, limit = ends - now + 1, 'tries'
end
if by_client >= tonumber(ARGV[6]) then
  wait, limit = math.max(wait, ms_left(KEYS[4])), 'client_failures'
end
if by_phone >= tonumber(ARGV[7]) then
  wait, limit = math.max(wait, ms_left(KEYS[3])), 'phone_failures'
end
if limit then
  return { 'locked', wait, limit }
end

local function remember(tag, first, second)
  -- What older requests left goes now: their retries have ended, and the hash stays small.
  local fields = redis.call('HGETALL', KEYS[2])
  for i = 1, #fields, 2 do
    local at = string.match(fields[i + 1], '^(%d+):')
    if at and tonumber(at) <= now - keep then
      redis.call('HDEL', KEYS[2], fields[i])
    end
  end
  redis.call('HSET', KEYS[2], mine, string.format('%.0f:%s:%.0f:%d', now, tag, first, second))
  if redis.call('PTTL', KEYS[2]) < keep then
    redis.call('PEXPIRE', KEYS[2], keep)
  end
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
  -- Spent: what is left says only that, to the panel, and for as long as the code would have lived.
  redis.call('HSET', KEYS[1], 'verified', 1)
  redis.call('HDEL', KEYS[1], 'nonce', 'digest', 'channel', 'replaced')
  redis.call('DEL', KEYS[4])
  redis.call('HDEL', KEYS[2], 'tries', 'tries_end')
  remember('verified', now, call)
  redis.call('PEXPIRE', KEYS[2], keep)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('%.0f', now - session_life))
  redis.call('ZADD', KEYS[6], string.format('%.0f', now), ARGV[9])
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -1 - tonumber(ARGV[12]))
  redis.call('PEXPIRE', KEYS[6], session_life)
  return { 'verified', now, call }
end

used = used + 1
if used == 1 then
  ends = now + life
end
redis.call('HSET', KEYS[2], 'tries', used, 'tries_end', string.format('%.0f', ends))
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', ends))
by_phone = redis.call('INCR', KEYS[3])
if by_phone == 1 then
  redis.call('PEXPIRE', KEYS[3], ARGV[8])
end
by_client = redis.call('INCR', KEYS[4])
if by_client == 1 then
  redis.call('PEXPIRE', KEYS[4], ARGV[8])
end
local left = math.min(tries - used, tonumber(ARGV[7]) - by_phone, tonumber(ARGV[6]) - by_client)
remember('wrong', left, 0)
return { 'wrong', left }
