-- credit.lua: put before the scripts of the send gate, after common.lua. It has only local functions.
--
-- A bucket is a text 'level:time': the number of credits that it had at that time. An absent bucket has its base: the
-- most credits that it gets without logins. A send that needs credit takes one from each of its buckets. If one of
-- them is empty, it takes none.
-- Five keys, in this order from KEYS[first]:
--   gate:{send}:shared         hash: 'new' and 'known', the buckets of all new networks and of all other networks
--   gate:{send}:network:<id>   hash: 'credit', a bucket; 'logins' and 'solved', times separated by blanks
--   gate:{send}:prefix:<p>     string: a bucket
--   gate:{send}:money          hash: '<window>/<part>', the messages of that part; '<window>', 'part:messages' of the
--                              window
--   gate:{send}:pauses         hash: 'prefix:<p>' and 'network:<id>', when a pause expires
-- A charge is a text that says what a send has taken, so that it can be given back:
-- 'letters.pool.network.prefix.time'. The first letter: f: credit was taken; s: a challenge was solved; d: the send
-- of a device; c and p: none of these. A second letter m: the send counts in the budget. The prefix is empty if its
-- bucket does not count for this send.

local HOUR, DAY, WEEK = 3600000, 86400000, 604800000
local PER_HOUR = 2
local POOL_CAP, NETWORK, NETWORK_CAP, PREFIX, PREFIX_CAP = 240, 6, 40, 40, 240
-- The sends with a solved challenge that a network may have in a day: a base, more for each login of the last week,
-- and a maximum.
local SOLVED, SOLVED_PER_LOGIN, MOST_SOLVED = 3, 2, 15
local MOST_LOGINS = (MOST_SOLVED - SOLVED) / SOLVED_PER_LOGIN
-- A window of the budget is counted in parts. A part counts until its last millisecond has left the window.
local PARTS = 24
-- STRANGERS: the percentage of the budget that strangers may use. An alert fires at HALF and at STRANGERS.
local STRANGERS, HALF, WHOLE = 70, 50, 100

-- The parts of a charge.
local CHARGE = '^(%a+)%.(%a*)%.([^.]*)%.([^.]*)%.(%d+)$'
-- A decision as gate.lua writes it: decision, reason, 1 if refused, step of difficulty, charge or -, percent reached.
local DECIDED = '^(%S+) (%S+) (%d) (%d) (%S+) (%d+)$'

local function read_bucket(text, base, cap, decays, now)
  local level, at = string.match(text or '', '^([%d.]+):(%d+)$')
  if not level then
    return base
  end
  level = tonumber(level)
  local hours = math.max(0, now - tonumber(at)) / HOUR
  if level < base then
    level = math.min(base, level + PER_HOUR * hours)
  elseif decays then
    level = math.max(base, level - (cap - base) * hours)
  end
  return math.min(cap, level)
end

local function bucket(level, now)
  return string.format('%.6f:%.0f', level, now)
end

local function pool_cap(credit)
  return math.max(POOL_CAP, credit)
end

local function recent(text, since)
  local times = {}
  for at in string.gmatch(text or '', '%d+') do
    if tonumber(at) > since then
      times[#times + 1] = at
    end
  end
  return times
end

-- The windows of the budget 'limit/ms limit/ms …'. Each has the number of its messages, the number of messages in its
-- present part, and its expired parts.
local function read_money(key, budget, now)
  local windows, names = {}, {}
  for limit, span in string.gmatch(budget, '(%d+)/(%d+)') do
    local part = math.ceil(span / PARTS)
    local number = math.floor(now / part)
    local present = string.format('%s/%.0f', span, number)
    windows[#windows + 1] =
      { limit = tonumber(limit), span = span, part = part, number = number, present = present, sends = 0, expired = {} }
    names[#names + 1] = span
    names[#names + 1] = present
  end
  if #windows == 0 then
    return windows
  end
  local found, fields = redis.call('HMGET', key, unpack(names)), nil
  for i, window in ipairs(windows) do
    local number, sends = string.match(found[2 * i - 1] or '', '^(%d+):(%d+)$')
    window.of_part = tonumber(found[2 * i] or 0)
    if number and tonumber(number) == window.number then
      window.sends = tonumber(sends)
    elseif number then
      fields = fields or redis.call('HGETALL', key)
      for j = 1, #fields, 2 do
        local span, other = string.match(fields[j], '^(%d+)/(%d+)$')
        if span == window.span then
          if (tonumber(other) + 1) * window.part + span > now then
            window.sends = window.sends + tonumber(fields[j + 1])
          else
            window.expired[#window.expired + 1] = fields[j]
          end
        end
      end
    end
  end
  return windows
end

-- Count so many messages now.
local function write_money(key, windows, messages)
  local longest, is_new, fields = 0, true, {}
  for _, window in ipairs(windows) do
    fields[#fields + 1] = window.present
    fields[#fields + 1] = window.of_part + messages
    fields[#fields + 1] = window.span
    fields[#fields + 1] = string.format('%.0f:%d', window.number, window.sends + messages)
    if window.span + window.part > longest then
      longest, is_new = window.span + window.part, window.of_part == 0
    end
  end
  redis.call('HSET', key, unpack(fields))
  for _, window in ipairs(windows) do
    if #window.expired > 0 then
      redis.call('HDEL', key, unpack(window.expired))
    end
  end
  -- The first message of a part sets the expiry: the key is then kept for as long as any message of this part counts.
  if is_new then
    redis.call('PEXPIRE', key, string.format('%.0f', longest))
  end
end

-- Give one send, which the budget counted at the time `at`, back to the budget.
local function return_money(key, budget, at, now)
  for _, window in ipairs(read_money(key, budget, now)) do
    local number = math.floor(at / window.part)
    local field = string.format('%s/%.0f', window.span, number)
    local sends = tonumber(redis.call('HGET', key, field) or 0)
    if sends > 0 and (number + 1) * window.part + window.span > now then
      redis.call('HINCRBY', key, field, -1)
      redis.call('HSET', key, window.span, string.format('%.0f:%d', window.number, math.max(0, window.sends - 1)))
    end
  end
end

-- Whether the sends of a window have used up this percentage of the budget.
local function is_used_up(windows, percent)
  for _, window in ipairs(windows) do
    if window.sends >= math.floor(window.limit * percent / 100) then
      return true
    end
  end
  return false
end

-- The largest of these shares, in percent, that so many more messages reach in a window; 0 if they reach none.
local function reached(windows, messages)
  local found = 0
  for _, window in ipairs(windows) do
    for _, percent in ipairs({ HALF, STRANGERS }) do
      local share = math.max(1, math.floor(window.limit * percent / 100))
      if window.sends < share and window.sends + messages >= share then
        found = math.max(found, percent)
      end
    end
  end
  return found
end

-- Decide about a send. This writes no key. `send`: mode, network, credit, prefix, foreign, budget, solved (it has a
-- solved challenge), device (it has a good device token).
local function decide(first, send, now)
  local shared, network, prefix, money, pauses = first, first + 1, first + 2, first + 3, first + 4
  local gate = { windows = {}, reason = '-', refused = false, first = first, send = send, step = 0 }
  local off = send.mode == 'off'
  if not off then
    gate.windows = read_money(KEYS[money], send.budget, now)
  end
  if send.device then
    gate.decision, gate.letter = 'free', 'd'
    if is_used_up(gate.windows, WHOLE) then
      gate.decision, gate.reason, gate.refused = 'paused', 'budget', true
    end
    return gate
  end

  local own = redis.call('HMGET', KEYS[network], 'credit', 'logins', 'solved')
  gate.logins, gate.solved = recent(own[2], now - WEEK), recent(own[3], now - DAY)
  gate.pool = #gate.logins > 0 and 'known' or 'new'
  gate.network = read_bucket(own[1], NETWORK, NETWORK_CAP, false, now)
  local pool = redis.call('HGET', KEYS[shared], gate.pool)
  gate.shared = read_bucket(pool, send.credit, pool_cap(send.credit), true, now)
  gate.hour = pool and math.floor(string.match(pool, ':(%d+)$') / HOUR)
  if send.foreign and gate.pool == 'new' then
    gate.prefix = read_bucket(redis.call('GET', KEYS[prefix]), PREFIX, PREFIX_CAP, false, now)
  end
  gate.step = (gate.network < 1 and 1 or 0) + (#gate.solved >= 3 and 1 or 0) + (#gate.solved >= 9 and 1 or 0)

  local paused = false
  for _, ends in ipairs(redis.call('HMGET', KEYS[pauses], 'prefix:' .. send.prefix, 'network:' .. send.network)) do
    paused = paused or (ends and tonumber(ends) > now)
  end
  local empty = not off and math.min(gate.network, gate.shared, gate.prefix or 1) < 1
  local allowed = math.min(MOST_SOLVED, SOLVED + SOLVED_PER_LOGIN * #gate.logins)
  if paused and not send.solved then
    gate.decision, gate.letter, gate.reason, gate.refused = 'challenge', 'c', 'pause', true
  elseif is_used_up(gate.windows, STRANGERS) then
    gate.decision, gate.reason, gate.refused = 'paused', 'budget', true
  elseif not paused and not empty then
    gate.decision, gate.letter = 'free', 'f'
  elseif not send.solved then
    gate.decision, gate.letter, gate.reason, gate.refused = 'challenge', 'c', 'credit', send.mode == 'on'
  elseif #gate.solved < allowed then
    gate.decision, gate.letter = 'solved', 's'
  else
    gate.decision, gate.letter, gate.reason = 'paused', 'p', 'network'
    gate.refused = paused or send.mode == 'on'
  end
  return gate
end

-- Take the credit and the budget of a send that goes out. Return the charge.
local function take(gate, now)
  local first, send, letters = gate.first, gate.send, gate.letter
  local shared, network, prefix, money = first, first + 1, first + 2, first + 3
  if send.mode == 'off' and letters ~= 's' then
    return ''
  end
  if letters == 'f' then
    redis.call('HSET', KEYS[shared], gate.pool, bucket(gate.shared - 1, now))
    -- The TTL is a week, so it is enough to set it once an hour.
    if gate.hour ~= math.floor(now / HOUR) then
      redis.call('PEXPIRE', KEYS[shared], WEEK)
    end
    redis.call('HSET', KEYS[network], 'credit', bucket(gate.network - 1, now))
    if gate.prefix then
      redis.call('SET', KEYS[prefix], bucket(gate.prefix - 1, now), 'PX', DAY)
    end
  elseif letters == 's' then
    gate.solved[#gate.solved + 1] = string.format('%.0f', now)
    redis.call('HSET', KEYS[network], 'solved', table.concat(gate.solved, ' '))
  end
  if letters == 'f' or letters == 's' then
    redis.call('PEXPIRE', KEYS[network], #gate.logins > 0 and WEEK or DAY)
  end
  if #gate.windows > 0 then
    write_money(KEYS[money], gate.windows, 1)
    letters = letters .. 'm'
  end
  return string.format(
    '%s.%s.%s.%s.%.0f', letters, gate.pool or '', send.network, gate.prefix and send.prefix or '', now
  )
end

-- Add credits to the buckets of a charge. `shared`, `network` and `prefix` are positions in KEYS. `back`: pool,
-- credits, foreign (the bucket of the prefix gets credits too), credit.
local function add_credit(shared, network, prefix, back, now)
  local cap = pool_cap(back.credit)
  local level = read_bucket(redis.call('HGET', KEYS[shared], back.pool), back.credit, cap, true, now)
  redis.call('HSET', KEYS[shared], back.pool, bucket(math.min(cap, level + back.credits), now))
  redis.call('PEXPIRE', KEYS[shared], WEEK)
  level = read_bucket(redis.call('HGET', KEYS[network], 'credit'), NETWORK, NETWORK_CAP, false, now)
  redis.call('HSET', KEYS[network], 'credit', bucket(math.min(NETWORK_CAP, level + back.credits), now))
  redis.call('PEXPIRE', KEYS[network], math.max(DAY, redis.call('PTTL', KEYS[network])))
  if back.foreign then
    level = read_bucket(redis.call('GET', KEYS[prefix]), PREFIX, PREFIX_CAP, false, now)
    redis.call('SET', KEYS[prefix], bucket(math.min(PREFIX_CAP, level + back.credits), now), 'PX', DAY)
  end
end

-- Forget the send with a solved challenge that was counted at the time `at`.
local function return_solved(key, at)
  local times, found = {}, false
  for one in string.gmatch(redis.call('HGET', key, 'solved') or '', '%d+') do
    if one == at and not found then
      found = true
    else
      times[#times + 1] = one
    end
  end
  if found then
    redis.call('HSET', key, 'solved', table.concat(times, ' '))
  end
end

-- Count a login of a network.
local function count_login(key, now)
  local logins = recent(redis.call('HGET', key, 'logins'), now - WEEK)
  logins[#logins + 1] = string.format('%.0f', now)
  while #logins > MOST_LOGINS do
    table.remove(logins, 1)
  end
  redis.call('HSET', key, 'logins', table.concat(logins, ' '))
  redis.call('PEXPIRE', key, WEEK)
end

