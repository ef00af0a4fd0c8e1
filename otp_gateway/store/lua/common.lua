-- common.lua: put before every other script. It has only local functions. They read keys, and write none.

-- The time of Redis in ms.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The wrong tries and the failure budgets of a phone, from the hash otp:{pid}:tries. Its fields:
--   tries, tries_end         wrong tries of the present code, and when they expire
--   failures                 'count:expiry' of the phone's failed verifies within a budget period
--   failures:<client>        the same for one client
--   unsent, unsent:<client>  failures that were counted while the phone had no send within a budget period. Such
--                            guesses are worthless. So they are in no budget, and expire together with the tries
-- The tries expire one code's lifetime after the first try. If the hash expires earlier (an operator has shortened
-- its TTL), the tries expire with it.
local function read_tries(key, now)
  local all = { used = 0, ends = 0, counts = {}, expired = {} }
  local fields = redis.call('HGETALL', key)
  local kept = {}
  for i = 1, #fields, 2 do
    kept[fields[i]] = fields[i + 1]
  end
  all.used = tonumber(kept['tries'] or 0)
  if all.used > 0 then
    all.ends = tonumber(kept['tries_end'])
    local hash_ends = now + redis.call('PTTL', key)
    -- A difference of one millisecond comes from rounding.
    if hash_ends < all.ends - 1 then
      all.ends = hash_ends
    end
    if all.ends <= now then
      all.used = 0
    end
  end
  for field, value in pairs(kept) do
    local count, ends = string.match(value, '^(%d+):(%d+)$')
    if count then
      local worthless = string.sub(field, 1, 6) == 'unsent'
      if tonumber(ends) <= now or (worthless and all.used == 0) then
        all.expired[#all.expired + 1] = field
      else
        all.counts[field] = { count = tonumber(count), ends = tonumber(ends) }
      end
    end
  end
  return all
end

-- Whether the phone had a send within a budget period. The last entry of the list otp:{pid}:sends shows it.
local function was_sent(key, now, period)
  local at = string.match(redis.call('LINDEX', key, -1) or '', '^(%d+)')
  return at ~= nil and tonumber(at) > now - period
end

-- The failures in the budget of the phone (suffix '') or of one client (':<client>'), and ms until they expire.
local function read_budget(all, suffix, sent, now)
  local total, wait = 0, 0
  for _, name in ipairs(sent and { 'failures' } or { 'failures', 'unsent' }) do
    local one = all.counts[name .. suffix]
    if one then
      total = total + one.count
      -- One millisecond is added, because a failure counts until its last millisecond has passed.
      wait = math.max(wait, one.ends - now + 1)
    end
  end
  return total, wait
end

-- Whether the client is a device. `made`: when its device token of this phone was made (ms), or 0 without a good
-- token. The token is worthless if an operator has made the gateway forget the phone's devices since then.
local function is_device(key, made)
  return made > 0 and made > tonumber(redis.call('GET', key) or 0)
end
