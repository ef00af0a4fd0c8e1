-- admit.lua: count one request against the windows of its address.
--
-- KEYS   1  ip:{network}:<endpoint>            sorted set of request ids by time, TTL longest window
--        2  ip:{network}:<endpoint>:<subnet>   the same, TTL longest window; absent for IPv4
-- ARGV   1  deadline in ms of Redis's time
--        2  request id
--        3  longest window, ms
--        4  number of windows
--        5… per key, in the order of KEYS, and window: limit, window in ms
-- REPLY  {'admitted' | 'refused', Redis's time in ms, then per key and window: events, ms until one leaves,
--        ms until a request fits}
--        {'late', Redis's time in ms}   the deadline has come: nothing was done
--
-- A refused request is not recorded, so waiting as long as told is enough. A request id that stands here
-- already was counted by an attempt whose reply was lost: it is not counted again.
-- The first write is one that a Redis without memory refuses: then nothing is done at all.

local now = now_ms()
local id, longest, windows = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local counted = redis.call('ZSCORE', KEYS[1], id)
if not counted and now >= tonumber(ARGV[1]) then
  return { 'late', now }
end

local function survey()
  local stats, refused = {}, false
  for k = 1, #KEYS do
    for w = 0, windows - 1 do
      local at = 5 + ((k - 1) * windows + w) * 2
      local limit, span = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
      local since = string.format('(%.0f', now - span)
      local events = redis.call('ZCOUNT', KEYS[k], since, '+inf')
      local leaves, fits = 0, 0
      if events > 0 then
        local oldest = redis.call('ZRANGEBYSCORE', KEYS[k], since, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        leaves = tonumber(oldest[2]) + span - now
      end
      if events >= limit then
        local last = redis.call('ZREVRANGE', KEYS[k], limit - 1, limit - 1, 'WITHSCORES')
        fits = tonumber(last[2]) + span - now
        refused = true
      end
      stats[#stats + 1] = events
      stats[#stats + 1] = leaves
      stats[#stats + 1] = fits
    end
  end
  return stats, refused
end

local stats, refused = survey()
local tag = 'admitted'
if not counted then
  if refused then
    tag = 'refused'
  else
    for k = 1, #KEYS do
      redis.call('ZADD', KEYS[k], string.format('%.0f', now), id)
      redis.call('ZREMRANGEBYSCORE', KEYS[k], '-inf', string.format('%.0f', now - longest))
      redis.call('PEXPIRE', KEYS[k], longest)
    end
    stats = survey()
  end
end

local reply = { tag, now }
for i = 1, #stats do
  reply[#reply + 1] = stats[i]
end
return reply
