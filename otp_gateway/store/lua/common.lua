-- common.lua: put before every other script. Local functions only: it reads, and writes no key.

-- Redis's time in ms.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Ms until a key is gone. Redis removes it only when its last millisecond has passed.
local function ms_left(key)
  return math.max(1, redis.call('PTTL', key) + 1)
end

-- The wrong tries of a phone, and when they expire (0 without tries), from the hash otp:{pid}:attempts.
-- Tries expire one code's lifetime after the first of them. The hash may outlive them because of the answers
-- in it. If the hash expires earlier than that (an operator has shortened it), the tries expire with it.
local function read_tries(key, now)
  local kept = redis.call('HMGET', key, 'tries', 'tries_end')
  local used = tonumber(kept[1] or 0)
  if used == 0 then
    return 0, 0
  end
  local expires = tonumber(kept[2])
  local hash_expires = now + redis.call('PTTL', key)
  -- A difference of one millisecond is only rounding.
  if hash_expires < expires - 1 then
    expires = hash_expires
  end
  if expires <= now then
    used = 0
  end
  return used, expires
end

