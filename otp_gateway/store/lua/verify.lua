-- verify.lua: compare one guess. A right guess uses the code and opens a session.
--
-- KEYS   1  otp:{pid}:code            hash, TTL the code's lifetime; a right guess leaves phone and 'verified'
--        2  otp:{pid}:tries           hash, TTL until the tries and all budgets in it have expired
--        3  otp:{pid}:sends           list, TTL as it was: a login marks the entry of the send with this code
--        4  otp:{pid}:call:<id>       string, TTL ARGV 13: the answer to this call, 'login time:call:lane' or the
--                                     tries left; the fingerprint, if there is one, and a blank are before it
--        5  otp:{pid}:session:<sid>   hash, TTL the session's lifetime
--        6  otp:{pid}:sessions        sorted set of session ids by login, TTL the session's lifetime
--        7  otp:{pid}:d:code          the same as 1 in the device lane, TTL as there
--        8  otp:{pid}:d:tries         the same as 2, TTL as there
--        9  otp:{pid}:d:sends         the same as 3, TTL as it was
--       10  otp:{pid}:call:<id>       the same as 4 for a call of a device, TTL as there
--       11  otp:{pid}:session:<sid>   the same as 5 for a call of a device, TTL as there
--       12  otp:{pid}:devices_since   integer, only read: device tokens that were made before are forgotten
--       13  otp:{pid}:login           string, TTL a week or a day: 'network:since:time': the network for which the
--                                     phone's logins count, the time since which they count for it (a week), and when
--                                     a login last earned an extra credit
-- ARGV   1  deadline in ms of Redis's time
--        2  the client
--        3  digest of the guess
--        4  a code's lifetime, ms
--        5  tries of a code
--        6  failure budget of a client
--        7  failure budget of the common lane
--        8  period of the budgets, ms
--        9  session id
--       10  refresh token id
--       11  the session's lifetime, ms
--       12  sessions that a phone may have
--       13  how long an answer is kept for a repeated call, ms
--       14  fingerprint of the request's body; empty without an idempotency key
--       15  when the client's device token was made, ms of Redis's time; 0 without a good token
--       16  failure budget of the device lane
--       17  session id of a call of a device
--       18  refresh token id of a call of a device
--       19  1 if the phone is a test number now, 0 if not
--       20  1 if sends take credit at the gate
-- REPLY  {'verified', Redis's time in ms, channel (0 sms, 1 call, 2 test), 1 if the code was in the device lane or 0,
--                     1 for a call of a device or 0; only in the first reply: charge of the send (credit.lua), 1 if the
--                     login earns one more credit, 1 if it counts for its network}
--        {'wrong', tries left}
--        {'locked', ms to wait, limit}   no try left, or a failure budget is used up: the guess was not compared;
--                                        limit: tries, client_failures, phone_failures or device_failures
--        {'reused'}               the call was made with another body: no key was changed
--        {'late'}                 the deadline has passed: no key was changed
--
-- A guess for a phone without an active code is counted and answered exactly like a wrong guess for a phone with an
-- active code. If the phone had no send within a budget period, no guess can be right. So its counts expire with the
-- tries.
-- After a right guess and after a wrong guess, the first write is one that a Redis without memory refuses. So no guess
-- is compared without being counted.
-- A session is valid only while its id is in the sorted set. So an eleventh login ends the oldest session.
--
-- A call of a device uses the device lane if this lane has an active code. Otherwise it uses the common lane. It makes
-- one comparison, and counts it in the lane that it has used. A right guess ends the active code, so a repeated call
-- can choose the other lane. It must find its answer all the same. Therefore the keys of the call and of the session
-- do not depend on the lane. The client's own failure budget is a limit of the common lane.

local now = now_ms()
local DAY, WEEK = 86400000, 604800000
local lifetime, tries, period, keep = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[8]), tonumber(ARGV[13])

local device = is_device(KEYS[12], tonumber(ARGV[15]))
local call_key, session_key, session, refresh = 4, 5, ARGV[9], ARGV[10]
if device then
  call_key, session_key, session, refresh = 10, 11, ARGV[17], ARGV[18]
end

local mark = ARGV[14] == '' and '' or ARGV[14] .. ' '
local answered = redis.call('GET', KEYS[call_key])
if answered then
  -- An earlier attempt of this call has run, or an earlier request with the same idempotency key.
  if string.sub(answered, 1, #mark) ~= mark then
    return { 'reused' }
  end
  answered = string.sub(answered, #mark + 1)
  local login, call, lane = string.match(answered, '^(%d+):(%d):(%d)$')
  if login then
    return { 'verified', tonumber(login), tonumber(call), tonumber(lane), device and 1 or 0 }
  end
  return { 'wrong', tonumber(answered) }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

-- The lane: the numbers of its keys, and its failure budget.
local code_key, tries_key, sends_key = 1, 2, 3
local budget, full = tonumber(ARGV[7]), 'phone_failures'
local live = device and redis.call('HMGET', KEYS[7], 'digest', 'channel', 'nonce')
local in_device_lane = live and live[1]
if in_device_lane then
  code_key, tries_key, sends_key = 7, 8, 9
  budget, full = tonumber(ARGV[16]), 'device_failures'
end

local sent = was_sent(KEYS[sends_key], now, period)
local state = read_tries(KEYS[tries_key], now)
local by_phone, phone_wait = read_budget(state, '', sent, now)
local wait, limit = 0, nil
local left = math.min(tries - state.used, budget - by_phone) - 1
-- The counts of this lane: the count of the phone, and in the common lane also the count of the client.
local suffixes = { '' }
if state.used >= tries then
  wait, limit = state.ends - now + 1, 'tries'
end
if not in_device_lane then
  local client = ':' .. ARGV[2]
  local by_client, client_wait = read_budget(state, client, sent, now)
  suffixes[2] = client
  left = math.min(left, tonumber(ARGV[6]) - by_client - 1)
  if by_client >= tonumber(ARGV[6]) then
    wait, limit = math.max(wait, client_wait), 'client_failures'
  end
end
if by_phone >= budget then
  wait, limit = math.max(wait, phone_wait), full
end
if limit then
  return { 'locked', wait, limit }
end

if not in_device_lane then
  live = redis.call('HMGET', KEYS[1], 'digest', 'channel', 'nonce')
  if live[2] == 'test' and ARGV[19] == '0' then
    -- The phone is no longer a test number. Others know its fixed code, so this code is not active.
    live = {}
  end
end

-- The charge of the send whose code this login has used. If several sends had this code, it is the newest from the
-- login's own network, otherwise the newest. The mark 'l' replaces the charge, so that it is given back only once.
local function redeem(key, nonce)
  local index, taken, rest
  local entries = redis.call('LRANGE', key, 0, -1)
  for i = #entries, 1, -1 do
    local head, used, charge = string.match(entries[i], '^(%d+:[^:]+:([^:]+):[^:]+):?(.*)$')
    if used == nonce and charge ~= 'l' then
      local own = string.match(charge, '^%a+%.%a*%.([^.]*)') == ARGV[2]
      if own or not index then
        index, taken, rest = i, charge, head
      end
      if own then
        break
      end
    end
  end
  if index then
    redis.call('LSET', key, index - 1, rest .. ':l')
  end
  return taken or ''
end

-- Whether this login earns one more credit, and whether it counts for its network.
local function earn(key, charge)
  local network, since, extra = string.match(redis.call('GET', key) or '', '^([^:]*):(%d+):(%d+)$')
  since, extra = tonumber(since or 0), tonumber(extra or 0)
  if since <= now - WEEK then
    network, since = ARGV[2], now
  end
  -- A device's send took no credit, so its login earns none.
  local first = charge ~= '' and string.sub(charge, 1, 1) ~= 'd' and extra <= now - DAY
  if first then
    extra = now
  end
  local keep = math.max(since + WEEK, extra + DAY) - now
  redis.call('SET', key, string.format('%s:%.0f:%.0f', network, since, extra), 'PX', string.format('%.0f', keep))
  return first and 1 or 0, network == ARGV[2] and 1 or 0
end

if live[1] == ARGV[3] then
  local call = 0
  if live[2] == 'call' then
    call = 1
  elseif live[2] == 'test' then
    call = 2
  end
  local session_lifetime = tonumber(ARGV[11])
  redis.call('HSET', KEYS[session_key], 'refresh', refresh, 'login', string.format('%.0f', now), 'call', call)
  redis.call('PEXPIRE', KEYS[session_key], session_lifetime)
  -- The fields that are left show the panel that the code was used. They expire when the code would have expired.
  redis.call('HSET', KEYS[code_key], 'verified', 1)
  redis.call('HDEL', KEYS[code_key], 'nonce', 'digest', 'channel', 'replaced')
  local cleared = { 'tries', 'tries_end', 'unsent' }
  if suffixes[2] then
    cleared[4], cleared[5] = 'failures' .. suffixes[2], 'unsent' .. suffixes[2]
  end
  redis.call('HDEL', KEYS[tries_key], unpack(cleared))
  local lane = in_device_lane and 1 or 0
  redis.call('SET', KEYS[call_key], string.format('%s%.0f:%d:%d', mark, now, call, lane), 'PX', keep)
  redis.call('ZREMRANGEBYSCORE', KEYS[6], '-inf', string.format('%.0f', now - session_lifetime))
  redis.call('ZADD', KEYS[6], string.format('%.0f', now), session)
  redis.call('ZREMRANGEBYRANK', KEYS[6], 0, -1 - tonumber(ARGV[12]))
  redis.call('PEXPIRE', KEYS[6], session_lifetime)
  local charge, first, counts = '', 0, 0
  if ARGV[20] == '1' and live[2] ~= 'test' then
    charge = redeem(KEYS[sends_key], live[3])
    first, counts = earn(KEYS[13], charge)
  end
  return { 'verified', now, call, lane, device and 1 or 0, charge, first, counts }
end

state.used = state.used + 1
if state.used == 1 then
  state.ends = now + lifetime
end
local kind = sent and 'failures' or 'unsent'
local fields = { 'tries', state.used, 'tries_end', string.format('%.0f', state.ends) }
for _, suffix in ipairs(suffixes) do
  local field = kind .. suffix
  local one = state.counts[field] or { count = 0, ends = now + period }
  one.count = one.count + 1
  state.counts[field] = one
  fields[#fields + 1] = field
  fields[#fields + 1] = string.format('%d:%.0f', one.count, one.ends)
end
redis.call('HSET', KEYS[tries_key], unpack(fields))
if #state.expired > 0 then
  redis.call('HDEL', KEYS[tries_key], unpack(state.expired))
end
local ends = state.ends
for field, one in pairs(state.counts) do
  if string.sub(field, 1, 8) == 'failures' then
    ends = math.max(ends, one.ends)
  end
end
redis.call('PEXPIREAT', KEYS[tries_key], string.format('%.0f', ends))
-- Redis shares small numbers, so this value takes no further memory.
redis.call('SET', KEYS[call_key], mark .. left, 'PX', keep)
return { 'wrong', left }
