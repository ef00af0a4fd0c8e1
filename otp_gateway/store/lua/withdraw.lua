-- withdraw.lua: take back one send that definitely sent no message, so that Redis is as it was before.
--
-- KEYS   1  otp:{pid}:code (or d:code)     hash, TTL until the code in it expires
--        2  otp:{pid}:tries (or d:tries)   hash, TTL at least until the tries from before the send expire
--        3  otp:{pid}:sends (or d:sends)   list, TTL counted from the last of the remaining sends
--        4  otp:{pid}:call:<id> string, deleted by this script: a repeated request is a new send
--        5  otp:{pid}:challenge:<id> string, deleted by this script if this send has used the solution
--        6  gate:{send}:shared         hash, TTL a week; this key and the next ones are absent on a cluster
--        7  gate:{send}:network:<id>   hash, TTL a day; a week after a login
--        8  gate:{send}:prefix:<p>     string, TTL a day
--        9  gate:{send}:money          hash, TTL as it was
-- ARGV   1  deadline in ms of Redis's time
--        2  send id
--        3  how long the last send is remembered, ms
--        4  credit of the networks' pools
--        5  budget: 'limit/ms' of each window, separated by blanks
-- REPLY  {'withdrawn', charge}   also when an earlier attempt of this call has done it. On a cluster, the caller gives
--                                the charge back; otherwise, it is empty
--        {'late'}        the deadline has passed: no key was changed
--
-- If another send has the same nonce, the code stays. Otherwise, the code of this send is removed. If it is the active
-- code, the code that it replaced becomes active again, with its tries and its expiry. If a later code has replaced it,
-- it is removed from the field 'replaced'.
-- The keys are those of the lane that issue.lua chose and returned.

local now = now_ms()

local own, nonce, others, last
local charge = ''
for _, entry in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local at, id, used, channel, taken = string.match(entry, '^(%d+):([^:]+):([^:]+):([^:]+):?(.*)$')
  if id == ARGV[2] then
    own, nonce, charge = entry, used, taken
  else
    others = others or {}
    others[used] = channel
    last = tonumber(at)
  end
end
if not own then
  return { 'withdrawn', charge }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

redis.call('LREM', KEYS[3], 1, own)
redis.call('DEL', KEYS[4])
if KEYS[6] then
  local SHARED, NETWORK_KEY, PREFIX_KEY = 6, 7, 8
  local letters, pool, _, prefix, taken_at = string.match(charge, CHARGE)
  if letters and string.find(letters, 'f') then
    local back = { pool = pool, credits = 1, foreign = prefix ~= '', credit = tonumber(ARGV[4]) }
    add_credit(SHARED, NETWORK_KEY, PREFIX_KEY, back, now)
  end
  if letters and string.find(letters, 's') then
    return_solved(KEYS[7], taken_at)
  end
  if letters and string.find(letters, 'm') then
    return_money(KEYS[9], ARGV[5], tonumber(taken_at), now)
  end
  charge = ''
end
if redis.call('GET', KEYS[5]) == ARGV[2] then
  redis.call('DEL', KEYS[5])
end
if last then
  redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', last + tonumber(ARGV[3])))
end

local code = redis.call('HMGET', KEYS[1], 'nonce', 'phone', 'replaced')
local carried = others and others[nonce]
if carried then
  if code[1] == nonce then
    redis.call('HSET', KEYS[1], 'channel', carried)
  end
  return { 'withdrawn', charge }
end

local before = {}
for record in string.gmatch(code[3] or '', '%S+') do
  if string.match(record, '^[^:]+') ~= nonce then
    before[#before + 1] = record
  end
end
if code[1] and code[1] ~= nonce then
  if #before > 0 then
    redis.call('HSET', KEYS[1], 'replaced', table.concat(before, ' '))
  else
    redis.call('HDEL', KEYS[1], 'replaced')
  end
end
if code[1] ~= nonce then
  return { 'withdrawn', charge }
end

redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'tries', 'tries_end')
if #before == 0 then
  return { 'withdrawn', charge }
end
local old, digest, channel, ends, tries, tries_end =
  string.match(table.remove(before, 1), '^([^:]+):([^:]+):([^:]+):(%d+):(%d+):(%d+)$')
if old ~= '-' and tonumber(ends) > now then
  redis.call('HSET', KEYS[1], 'nonce', old, 'digest', digest, 'phone', code[2], 'channel', channel)
  if #before > 0 then
    redis.call('HSET', KEYS[1], 'replaced', table.concat(before, ' '))
  end
  redis.call('PEXPIREAT', KEYS[1], ends)
elseif channel == 'used' and tonumber(ends) > now then
  redis.call('HSET', KEYS[1], 'phone', code[2], 'verified', 1)
  redis.call('PEXPIREAT', KEYS[1], ends)
end
if tonumber(tries) > 0 and tonumber(tries_end) > now then
  -- The hash may hold budgets, which expire later than the tries.
  local hash_ends = now + math.max(0, redis.call('PTTL', KEYS[2]))
  redis.call('HSET', KEYS[2], 'tries', tries, 'tries_end', tries_end)
  redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', math.max(tonumber(tries_end), hash_ends)))
end
return { 'withdrawn', charge }
