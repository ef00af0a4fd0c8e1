-- issue.lua: charge one send to a phone, and decide which code it carries.
--
-- KEYS   1  otp:{pid}:code    hash, TTL the code's lifetime
--        2  otp:{pid}:tries   hash, TTL as verify.lua set it; its tries are cleared by a new code
--        3  otp:{pid}:sends   list of 'time:send id:nonce:channel', TTL the longer of the horizon and the period.
--                             A charge of the gate may follow (credit.lua), or 'l' after a login with this code
--        4  otp:{pid}:call:<id>   string, TTL ARGV 15: 'fingerprint sending:send id:time', until finish.lua
--                                 writes the outcome
--        5  otp:{pid}:challenge:<id>   string, TTL until the solution expires: the id of the send that has used it
--        6  otp:{pid}:d:code    the same as 1 in the device lane, TTL as there
--        7  otp:{pid}:d:tries   the same as 2, TTL as there
--        8  otp:{pid}:d:sends   the same as 3, TTL as there
--        9  otp:{pid}:call:<id>   the same as 4 for a call of a device, TTL as there
--       10  otp:{pid}:devices_since   integer, only read: device tokens that were made before are forgotten
--       11  otp:{pid}:mute    integer, only read: no stranger may request a message
--       12  gate:{send}:shared         hash, TTL a week; this key and the next ones are absent on a cluster
--       13  gate:{send}:network:<id>   hash, TTL a day; a week after a login
--       14  gate:{send}:prefix:<p>     string, TTL a day
--       15  gate:{send}:money          hash, TTL the longest window of the budget and a part of it
--       16  gate:{send}:pauses         hash, only read
-- ARGV   1  deadline in ms of Redis's time
--        2  send id
--        3  proposed nonce
--        4  digest of the proposed code
--        5  masked phone
--        6  channel
--        7  a code's lifetime, ms
--        8  tries of a code
--        9  failure budget of a client
--       10  failure budget of the common lane
--       11  horizon: how long a send counts in the common lane, ms; the longest window or the code's lifetime
--       12  period of the budgets, ms: the last send is remembered for so long, even if it no longer counts
--       13  the client
--       14  fingerprint of the request's body; empty without an idempotency key
--       15  how long the outcome is kept for a repeated request with this key, ms
--       16  how long a send may be in progress, ms
--       17  expiry of the challenge's solution, ms of Redis's time; empty without a solution
--       18  when the client's device token was made, ms of Redis's time; 0 without a good token
--       19  failure budget of the device lane
--       20  horizon of the device lane, ms
--       21  1 if the worker's last free threads are reserved for devices, otherwise 0
--       22  number of windows of the common lane
--       23  mode of the gate: observe, on or off
--       24  credit of the networks' pools
--       25  prefix of the phone
--       26  1 if the prefix is foreign
--       27  budget: 'limit/ms' of each window, separated by blanks
--       28  the decision of gate.lua (its REPLY), only on a cluster; otherwise empty
--       29… per window: limit, window in ms; those of the common lane, then those of the device lane
-- REPLY  {'issued', ms of lifetime left, ms until the next send fits, 1 in the device lane or 0, nonce, charge, percent
--        of the budget that this send has reached}
--        {'busy'}   only a device may use the thread, and the client is not one: no key was changed
--        {'locked', ms to wait, limit}   a failure budget is used up; limit: phone_failures, client_failures or
--                                        device_failures
--        {'limited', ms to wait, limit}   a window is full; limit: phone, or device in the device lane
--        {'gated', decision, reason, step of difficulty}   the gate refuses the send: no key was changed
--        {'unusable', reason}   the solution was used before, or has expired: no key was changed
--        {'sent', ms of lifetime left, ms until the next send fits}   the outcome of an earlier request with this key
--        {'unconfirmed'}   the same; the message may have been sent
--        {'in_progress'}   the same; the provider has not answered yet
--        {'reused'}   the idempotency key was used with another body: no key was changed
--        {'late'}   the deadline has passed: no key was changed
--
-- The active code is repeated if at least half of its lifetime is left, a try remains, and it has as many digits as
-- the proposed code. (The first character of a nonce shows the number of digits.) Otherwise, the proposed code
-- replaces the active code. The field 'replaced' keeps the replaced codes for withdraw.lua, newest first, separated
-- by blanks: 'nonce:digest:channel:expiry:tries:expiry of the tries'. If there were tries and no active code, the
-- nonce is '-'. If a login had used the code, the nonce is '-' and the channel is 'used'.
-- The first write is one that a Redis without memory refuses. So in this case, the script writes no key.
--
-- A device passes the gate if the log has at most two sends of its lane since its last login.
--
-- A device uses only the device lane, and every other client uses only the common lane. The client's own failure
-- budget is a limit of the common lane.

local now = now_ms()
local request, nonce, channel = ARGV[2], ARGV[3], ARGV[6]
local lifetime, tries = tonumber(ARGV[7]), tonumber(ARGV[8])
local horizon, period = tonumber(ARGV[11]), tonumber(ARGV[12])

-- Whether a device requests this send. Then the send is in the device lane.
local device = is_device(KEYS[10], tonumber(ARGV[18]))
-- The numbers of the lane's keys, and of its first and last argument about windows.
local code_key, tries_key, sends_key, call_key = 1, 2, 3, 4
local first_window = 29
local last_window = first_window + 2 * ARGV[22] - 1
if device then
  code_key, tries_key, sends_key, call_key = 6, 7, 8, 9
  horizon = tonumber(ARGV[20])
  first_window, last_window = last_window + 1, #ARGV
end

local sends = redis.call('LRANGE', KEYS[sends_key], 0, -1)
local times, mine, charge = {}, nil, ''
local since_login = 0
for i, entry in ipairs(sends) do
  local at, id, used, taken = string.match(entry, '^(%d+):([^:]+):([^:]+):[^:]+:?(.*)$')
  times[i] = tonumber(at)
  since_login = taken == 'l' and 0 or since_login + 1
  if id == request then
    mine, charge = used, taken
  end
end

local function wait()
  local longest = 0
  for i = first_window, last_window, 2 do
    local limit, span = tonumber(ARGV[i]), tonumber(ARGV[i + 1])
    local nth = times[#times - limit + 1]
    if nth and nth + span - now > longest then
      longest = nth + span - now
    end
  end
  return longest
end

local live = redis.call('HMGET', KEYS[code_key], 'nonce', 'digest', 'channel', 'replaced', 'verified')
local left = math.max(0, redis.call('PTTL', KEYS[code_key]))

if mine then
  -- An earlier attempt of this call has run, and its reply was lost.
  if live[1] ~= mine then
    left = 0
  end
  return { 'issued', left, wait(), device and 1 or 0, mine, charge, 0 }
end
local earlier = ARGV[14] ~= '' and redis.call('GET', KEYS[call_key])
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
if ARGV[21] == '1' and not device then
  return { 'busy' }
end

local state = read_tries(KEYS[tries_key], now)
local used, tries_end = state.used, state.ends
local sent = was_sent(KEYS[sends_key], now, period)
local by_phone, phone_wait = read_budget(state, '', sent, now)
local limited = wait()
if device then
  if by_phone >= tonumber(ARGV[19]) then
    return { 'locked', math.max(phone_wait, limited), 'device_failures' }
  end
else
  local by_client, client_wait = read_budget(state, ':' .. ARGV[13], sent, now)
  if by_phone >= tonumber(ARGV[10]) then
    return { 'locked', math.max(phone_wait, client_wait, limited), 'phone_failures' }
  end
  if by_client >= tonumber(ARGV[9]) then
    return { 'locked', math.max(client_wait, limited), 'client_failures' }
  end
end
if limited > 0 then
  return { 'limited', limited, device and 'device' or 'phone' }
end
local solution_ends = tonumber(ARGV[17])
if solution_ends then
  if redis.call('GET', KEYS[5]) then
    return { 'unusable', 'used' }
  end
  -- KEYS[5] expires when the solution does, by Redis's clock. So this check must use this clock too.
  if now >= solution_ends then
    return { 'unusable', 'expired' }
  end
end

if redis.call('GET', KEYS[11]) and not device then
  return { 'gated', 'paused', 'muted', 0 }
end
local FIRST, percent = 12, 0
local passes = device and since_login <= 2
if ARGV[28] ~= '' then
  local decision, reason, refused, step, taken, reaches = string.match(ARGV[28], DECIDED)
  charge, percent = taken == '-' and '' or taken, tonumber(reaches)
  if passes and (refused == '0' or charge ~= '' or ARGV[27] == '') then
    -- A device takes no credit. The caller gives back the credit that gate.lua has taken, but not the budget.
    charge = string.gsub(charge, '^%a', 'd')
  elseif refused == '1' then
    return { 'gated', decision, reason, tonumber(step) }
  end
else
  local gate = decide(FIRST, {
    mode = ARGV[23],
    network = ARGV[13],
    credit = tonumber(ARGV[24]),
    prefix = ARGV[25],
    foreign = ARGV[26] == '1',
    budget = ARGV[27],
    solved = solution_ends ~= nil,
    device = passes,
  }, now)
  if gate.refused then
    return { 'gated', gate.decision, gate.reason, gate.step }
  end
  percent = reached(gate.windows, 1)
  charge = take(gate, now)
end

local repeated = live[1] and left * 2 >= lifetime and used < tries
  and string.sub(live[1], 1, 1) == string.sub(nonce, 1, 1)
if repeated then
  nonce = live[1]
end

local entry = string.format('%.0f:%s:%s:%s', now, request, nonce, channel)
redis.call('RPUSH', KEYS[sends_key], charge == '' and entry or entry .. ':' .. charge)
redis.call('PEXPIRE', KEYS[sends_key], math.max(horizon, period))
times[#times + 1] = now
-- One send that no longer counts is kept. After a withdrawal, the phone must have its last send again.
while times[2] and times[2] <= now - horizon do
  redis.call('LPOP', KEYS[sends_key])
  table.remove(times, 1)
end

if solution_ends then
  -- One second is added, because Redis may round the expiry of the key.
  redis.call('SET', KEYS[5], request, 'NX', 'PX', string.format('%.0f', solution_ends - now + 1000))
end

if repeated then
  redis.call('HSET', KEYS[code_key], 'channel', channel)
else
  local before = {}
  local has_code = (live[1] or live[5]) and left > 0
  if has_code or used > 0 then
    before[1] = string.format(
      '%s:%s:%s:%.0f:%d:%.0f',
      live[1] or '-', live[2] or '-', live[3] or (live[5] and 'used' or '-'), has_code and now + left or 0, used,
      tries_end
    )
  end
  for record in string.gmatch(live[4] or '', '%S+') do
    local ends, tries_too = string.match(record, ':(%d+):%d+:(%d+)$')
    if math.max(tonumber(ends), tonumber(tries_too)) > now then
      before[#before + 1] = record
    end
  end
  redis.call('DEL', KEYS[code_key])
  redis.call('HSET', KEYS[code_key], 'nonce', nonce, 'digest', ARGV[4], 'phone', ARGV[5], 'channel', channel)
  if #before > 0 then
    redis.call('HSET', KEYS[code_key], 'replaced', table.concat(before, ' '))
  end
  redis.call('PEXPIRE', KEYS[code_key], lifetime)
  redis.call('HDEL', KEYS[tries_key], 'tries', 'tries_end')
  left = lifetime
end

if ARGV[14] ~= '' then
  redis.call('SET', KEYS[call_key], string.format('%s sending:%s:%.0f', ARGV[14], request, now), 'PX', ARGV[15])
end
return { 'issued', left, wait(), device and 1 or 0, nonce, charge, percent }
