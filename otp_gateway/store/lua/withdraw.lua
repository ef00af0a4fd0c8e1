-- withdraw.lua: take back one send that definitely sent nothing, so that Redis is as it was before.
--
-- KEYS   1  otp:{pid}:code (or d:code)     hash, TTL the end of the code that stands in it
--        2  otp:{pid}:tries (or d:tries)   hash, TTL at least the expiry that the tries had before the send
--        3  otp:{pid}:sends (or d:sends)   list, TTL counted from the last send left in it
--        4  otp:{pid}:call:<id> string, deleted by this script: a repeated request is a new send
--        5  otp:{pid}:challenge:<id> string, deleted by this script if this send has used the solution
-- ARGV   1  deadline in ms of Redis's time
--        2  send id
--        3  how long the last send is remembered, ms
-- REPLY  {'withdrawn'}   also when an earlier attempt of this call has done it
--        {'late'}        the deadline has come: nothing was done
--
-- What this send made goes only while no other send carries the same nonce: from the code, and then what it
-- replaced comes back with its tries and its end; or from what a later code replaced.
-- The keys are those of the lane that issue.lua chose: it has replied which one.

local now = now_ms()

local own, nonce, others, last
for _, entry in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
  local at, id, used, channel = string.match(entry, '^(%d+):([^:]+):([^:]+):([^:]+)$')
  if id == ARGV[2] then
    own, nonce = entry, used
  else
    others = others or {}
    others[used] = channel
    last = tonumber(at)
  end
end
if not own then
  return { 'withdrawn' }
end
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end

redis.call('LREM', KEYS[3], 1, own)
redis.call('DEL', KEYS[4])
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
  return { 'withdrawn' }
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
  return { 'withdrawn' }
end

redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'tries', 'tries_end')
if #before == 0 then
  return { 'withdrawn' }
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
return { 'withdrawn' }
