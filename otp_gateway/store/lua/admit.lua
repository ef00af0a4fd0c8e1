-- admit.lua: count one request against the windows of its address.
--
-- KEYS   1  ip:{network}:<endpoint>            sorted set, TTL longest window
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
-- A window of at most EXACT requests is exact: each request is a member, with its time as the score. A larger
-- window is counted in parts: a member '<window>/<part>' has the part's count as its score. A part counts until
-- its last millisecond has left the window, so a window never admits too many. So a key has at most 127 members,
-- which Redis keeps in its compact form, whatever the limits are (for up to three larger windows).
-- A refused request is not recorded, so waiting as long as the reply says is enough. A request id that is already
-- a member was counted by an attempt whose reply was lost: it is not counted again.
-- The first write is one that a Redis without memory refuses: then nothing is done at all.

local now = now_ms()
local id, longest, windows = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local EXACT, PARTS = 100, 8
-- Of requests that no exact window needs: how many, and for how long (ms), a repeated attempt finds them.
local RECENT, RECENT_MS = 64, 1000
-- Every time is above this, every count below.
local TIMES = '(1000000000'

local counted = redis.call('ZSCORE', KEYS[1], id)
if not counted and now >= tonumber(ARGV[1]) then
  return { 'late', now }
end

-- Limit and span of a key's window, and the length of a part; 0 for an exact window.
local function window(k, w)
  local at = 5 + ((k - 1) * windows + w) * 2
  local limit, span = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  return limit, span, limit > EXACT and math.ceil(span / PARTS) or 0
end

-- The parts of a key's larger windows, oldest first, and those that no longer count.
local function read_parts(key, k)
  local parts, expired = {}, {}
  local members = redis.call('ZRANGEBYSCORE', key, '-inf', 1000000000, 'WITHSCORES')
  for i = 1, #members, 2 do
    local w, number = string.match(members[i], '^(%d+)/(%d+)$')
    w = tonumber(w)
    local _, span, part = 0, 0, 0
    if w < windows then
      _, span, part = window(k, w)
    end
    local leaves = (tonumber(number) + 1) * part + span - now
    if part == 0 or leaves <= 0 then
      expired[#expired + 1] = members[i]
    else
      parts[w] = parts[w] or {}
      table.insert(parts[w], { leaves = leaves, count = tonumber(members[i + 1]) })
    end
  end
  for _, some in pairs(parts) do
    table.sort(some, function(one, other) return one.leaves < other.leaves end)
  end
  return parts, expired
end

local function survey_parts(parts, limit)
  local events = 0
  for _, part in ipairs(parts) do
    events = events + part.count
  end
  local leaves, fits, left = parts[1] and parts[1].leaves or 0, 0, events
  for _, part in ipairs(parts) do
    if left >= limit then
      left = left - part.count
      fits = part.leaves
    end
  end
  return events, leaves, fits
end

local function survey_exactly(key, limit, span)
  local since = string.format('(%.0f', now - span)
  local events = redis.call('ZCOUNT', key, since, '+inf')
  local leaves, fits = 0, 0
  if events > 0 then
    local oldest = redis.call('ZRANGEBYSCORE', key, since, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    leaves = tonumber(oldest[2]) + span - now
  end
  if events >= limit then
    local last = redis.call('ZREVRANGE', key, limit - 1, limit - 1, 'WITHSCORES')
    fits = tonumber(last[2]) + span - now
  end
  return events, leaves, fits
end

local function survey()
  local stats, refused = {}, false
  for k = 1, #KEYS do
    local parts = read_parts(KEYS[k], k)
    for w = 0, windows - 1 do
      local limit, span, part = window(k, w)
      local events, leaves, fits
      if part > 0 then
        events, leaves, fits = survey_parts(parts[w] or {}, limit)
      else
        events, leaves, fits = survey_exactly(KEYS[k], limit, span)
      end
      refused = refused or events >= limit
      stats[#stats + 1] = events
      stats[#stats + 1] = leaves
      stats[#stats + 1] = fits
    end
  end
  return stats, refused
end

local function record(key, k)
  local most, oldest = RECENT, RECENT_MS
  redis.call('ZADD', key, string.format('%.0f', now), id)
  for w = 0, windows - 1 do
    local limit, span, part = window(k, w)
    if part > 0 then
      redis.call('ZINCRBY', key, 1, string.format('%d/%.0f', w, math.floor(now / part)))
    else
      most, oldest = math.max(most, limit), math.max(oldest, span)
    end
  end
  local _, expired = read_parts(key, k)
  if #expired > 0 then
    redis.call('ZREM', key, unpack(expired))
  end
  redis.call('ZREMRANGEBYSCORE', key, TIMES, string.format('%.0f', now - oldest))
  local times = redis.call('ZCOUNT', key, TIMES, '+inf')
  if times > most then
    local first = redis.call('ZCARD', key) - times
    redis.call('ZREMRANGEBYRANK', key, first, first + times - most - 1)
  end
end

local stats, refused = survey()
local tag = 'admitted'
if not counted then
  if refused then
    tag = 'refused'
  else
    for k = 1, #KEYS do
      record(KEYS[k], k)
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
