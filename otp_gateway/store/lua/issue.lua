-- issue.lua: charge one send to a phone, and settle which code it carries.
--
-- KEYS   1  otp:{pid}:code    hash, TTL the code's lifetime
--        2  otp:{pid}:tries   hash, TTL as verify.lua set it; its tries are cleared by a new code
--        3  otp:{pid}:sends   list of 'time:send id:nonce:channel', TTL the horizon or the period, the longer one
--        4  otp:{pid}:call:<id>   string, TTL ARGV 15: 'fingerprint sending:send id:time', until finish.lua
--                                 writes the outcome
--        5  otp:{pid}:challenge:<id>   string, TTL until the solution expires: the id of the send that has used it
-- ARGV   1  deadline in ms of Redis's time
--        2  send id
--        3  proposed nonce
--        4  digest of the proposed code
--        5  masked phone
--        6  channel
--        7  a code's lifetime, ms
--        8  tries of a code
--        9  failure budget of a client
--       10  failure budget of the phone
--       11  horizon: how long a send counts, ms; no window and no code is longer
--       12  period of the budgets, ms: for so long the last send is remembered even if it no longer counts
--       13  the client
--       14  fingerprint of the request's body; empty without an idempotency key
--       15  how long the outcome is kept for a repeated request with this key, ms
--       16  how long a send may be in progress, ms
--       17  expiry of the challenge's solution, ms of Redis's time; empty without a solution
--       18… per window: limit, window in ms
-- REPLY  {'issued', ms of life left, ms until the next send fits, nonce}
--        {'locked', ms to wait, limit}   a failure budget is used up; limit: phone_failures or client_failures
--        {'limited', ms to wait}   a window is full
--        {'unusable', reason}   the solution is used, or it has expired: nothing was done
--        {'sent', ms of lifetime left, ms until the next send fits}   the outcome of an earlier request with this key
--        {'unconfirmed'}   the same; the message may have been sent
--        {'in_progress'}   the same; the provider has not answered yet
--        {'reused'}   the idempotency key was used with another body: nothing was done
--        {'late'}   the deadline has come: nothing was done
--
-- The live code is repeated while at least half of its life is left and a try remains, and it is as long as the
-- proposed one: a nonce's first character tells the length. Otherwise a new one replaces it. The field 'replaced'
-- keeps what stood before for withdraw.lua, newest first, divided by blanks:
-- 'nonce:digest:channel:end:tries:end of the tries', with a nonce of '-' for tries without a live code, and then
-- with a channel of 'used' for a code that a login has spent.
-- The first write is one that a Redis without memory refuses: then nothing is done at all.

local now = now_ms()
local request, nonce, channel = ARGV[2], ARGV[3], ARGV[6]
local life, tries = tonumber(ARGV[7]), tonumber(ARGV[8])
local horizon, period = tonumber(ARGV[11]), tonumber(ARGV[12])

local sends = redis.call('LRANGE', KEYS[3], 0, -1)
local times, mine = {}, nil
for i, entry in ipairs(sends) do
  local at, id, used = string.match(entry, '^(%d+):([^:]+):([^:]+)')
  times[i] = tonumber(at)
  if id == request then
    mine = used
  end
end

local function wait()
  local longest = 0
  for i = 18, #ARGV, 2 do
    local limit, span = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local nth = times[#times - limit + 1]
    if nth and nth + span - now > longest then
      longest = nth + span - now
    end
  end
  return longest
end

local live = redis.call('HMGET', KEYS[1], 'nonce', 'digest', 'channel', 'replaced', 'verified')
local left = math.max(0, redis.call('PTTL', KEYS[1]))

if mine then
  -- An earlier attempt of this request ran and its reply was lost.
  if live[1] ~= mine then
    left = 0
  end
  return { 'issued', left, wait(), mine }
end
local earlier = ARGV[14] ~= '' and redis.call('GET', KEYS[4])
if earlier then
  local mark, outcome = string.match(earlier, '^(%S+) (.+)$')
  if mark ~= ARGV[14] then
    return { 'reused' }
  end
  local used = string.match(outcome, '^sent:(.+)$')
  if used then
    return { 'sent', live[1] == used and left or 0, wait() }
  end
  local began = string.match(outcome, '^sending:[^:]+:(%d+)$')
  -- After that time, the worker of the first send has died.
  if began and now < tonumber(began) + tonumber(ARGV[16]) then
    return { 'in_progress' }
  end
  return { 'unconfirmed' }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

local state = read_tries(KEYS[2], now)
local used, tries_end = state.used, state.ends
local sent = was_sent(KEYS[3], now, period)
local by_phone, phone_wait = read_budget(state, '', sent, now)
local by_client, client_wait = read_budget(state, ':' .. ARGV[13], sent, now)
local limited = wait()
if by_phone >= tonumber(ARGV[10]) then
  return { 'locked', math.max(phone_wait, client_wait, limited), 'phone_failures' }
end
if by_client >= tonumber(ARGV[9]) then
  return { 'locked', math.max(client_wait, limited), 'client_failures' }
end
if limited > 0 then
  return { 'limited', limited }
end
local solution_ends = tonumber(ARGV[17])
if solution_ends then
  if redis.call('GET', KEYS[5]) then
    return { 'unusable', 'used' }
  end
  -- The key expires with the solution. So this check must use the same clock.
  if now >= solution_ends then
    return { 'unusable', 'expired' }
  end
end

local repeated = live[1] and left * 2 >= life and used < tries and string.sub(live[1], 1, 1) == string.sub(nonce, 1, 1)
if repeated then
  nonce = live[1]
end

redis.call('RPUSH', KEYS[3], string.format('%.0f:%s:%s:%s', now, request, nonce, channel))
redis.call('PEXPIRE', KEYS[3], math.max(horizon, period))
times[#times + 1] = now
-- One send that no longer counts stays: withdraw.lua must leave the phone as it was, with its last send.
while times[2] and times[2] <= now - horizon do
  redis.call('LPOP', KEYS[3])
  table.remove(times, 1)
end

if solution_ends then
  -- A second more, because Redis may round the expiry of the key.
  redis.call('SET', KEYS[5], request, 'NX', 'PX', string.format('%.0f', solution_ends - now + 1000))
end

if repeated then
  redis.call('HSET', KEYS[1], 'channel', channel)
else
  local before = {}
  local stood = (live[1] or live[5]) and left > 0
  if stood or used > 0 then
    before[1] = string.format(
      '%s:%s:%s:%.0f:%d:%.0f',
      live[1] or '-', live[2] or '-', live[3] or (live[5] and 'used' or '-'), stood and now + left or 0, used, tries_end
    )
  end
  for record in string.gmatch(live[4] or '', '%S+') do
    local ends, tries_too = string.match(record, ':(%d+):%d+:(%d+)$')
    if math.max(tonumber(ends), tonumber(tries_too)) > now then
      before[#before + 1] = record
    end
  end
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'nonce', nonce, 'digest', ARGV[4], 'phone', ARGV[5], 'channel', channel)
  if #before > 0 then
    redis.call('HSET', KEYS[1], 'replaced', table.concat(before, ' '))
  end
  redis.call('PEXPIRE', KEYS[1], life)
  redis.call('HDEL', KEYS[2], 'tries', 'tries_end')
  left = life
end

if ARGV[14] ~= '' then
  redis.call('SET', KEYS[4], string.format('%s sending:%s:%.0f', ARGV[14], request, now), 'PX', ARGV[15])
end
return { 'issued', left, wait(), nonce }
