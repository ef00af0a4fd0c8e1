-- withdraw.lua: take back one send that surely sent nothing, so that Redis is as it was before.
--
-- KEYS   1  otp:{pid}:code       hash, TTL the end of the code that stands in it
--        2  otp:{pid}:attempts   hash, TTL the end that the tries had before the send
--        3  otp:{pid}:sends      list, TTL counted from the last send left in it
-- ARGV   1  deadline in ms of Redis's time
--        2  request id of the send
--        3  horizon: how long a send is remembered, ms
-- REPLY  {'withdrawn'}   also when an earlier attempt of this call has done it
--        {'late'}        past the deadline: nothing was done
--
-- The code goes, and the one that it replaced comes back with its tries and its end, only while the nonce is
-- still this send's and no other send carries it.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

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
if now > tonumber(ARGV[1]) then
  return { 'late' }
end

redis.call('LREM', KEYS[3], 1, own)
if last then
  redis.call('PEXPIREAT', KEYS[3], string.format('%.0f', last + tonumber(ARGV[3])))
end

local code = redis.call('HMGET', KEYS[1], 'nonce', 'phone', 'replaced', 'replaced_tries')
if code[1] ~= nonce then
  return { 'withdrawn' }
end
if others and others[nonce] then
  redis.call('HSET', KEYS[1], 'channel', others[nonce])
  return { 'withdrawn' }
end

redis.call('DEL', KEYS[1])
if code[3] then
  local before, digest, channel, ends = string.match(code[3], '^([^:]+):([^:]+):([^:]+):(%d+)$')
  if tonumber(ends) > now then
    redis.call('HSET', KEYS[1], 'nonce', before, 'digest', digest, 'phone', code[2], 'channel', channel)
    redis.call('PEXPIREAT', KEYS[1], ends)
  end
end
redis.call('HDEL', KEYS[2], 'tries')
if code[4] then
  local tries, ends = string.match(code[4], '^(%d+):(%d+)$')
  if tonumber(ends) > now then
    redis.call('HSET', KEYS[2], 'tries', tries)
    redis.call('PEXPIREAT', KEYS[2], ends)
  end
end
return { 'withdrawn' }
