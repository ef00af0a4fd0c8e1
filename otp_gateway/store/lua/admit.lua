-- admit.lua: count one request in the windows of its IP address.
--
-- KEYS   1  ip:{network}:<endpoint>            sorted set, TTL longest window
--        2  ip:{network}:<endpoint>:<subnet>   the same, TTL longest window; absent for IPv4
-- ARGV   1  deadline in ms of Redis's time
--        2  request id
--        3  longest window, ms
--        4  number of windows
--        5… per key, in the order of KEYS, and window: limit, window in ms
-- REPLY  {'admitted' | 'refused', Redis's time in ms, then per key and window: requests in the window, ms until the
--        oldest of them leaves it, ms until a request fits}
--        {'late', Redis's time in ms}   the deadline has passed: no key was changed
--
-- A window of at most EXACT requests is exact: each request is a member, and its score is its time. A larger window
-- is counted in parts: the score of the member '<window>/<part>' is the number of requests in this part. A part counts
-- until its last millisecond has left the window. So a window never admits too many requests.
-- A key has at most 127 members, whatever the limits are (with up to three larger windows). So Redis keeps it in its
-- compact form.
-- A refused request is not counted. So it is enough to wait as long as the reply says. If the request id is a member
-- already, an attempt whose reply was lost has counted the request. It is not counted again.
-- The first write is one that a Redis without memory refuses. So in this case, the script writes no key.

local now = now_ms()
local id, longest, windows = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local EXACT, PARTS = 100, 8
-- A repeated attempt must find its request, even if no exact window needs the request any more. So this many requests
-- are kept, for this many ms.
local RECENT, RECENT_MS = 64, 1000
-- A score above this is a time. A score below this is a count.
local TIMES = '(1000000000'

local counted = redis.call('ZSCORE', KEYS[1], id)
if not counted and now >= tonumber(ARGV[1]) then
  return { 'late', now }
end

-- The limit and the span of a key's window, and the length of its parts (0 if the window is exact).
local function window(k, w)
  local at = 5 + ((k - 1) * windows + w) * 2
  local limit, span = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  return limit, span, limit > EXACT and math.ceil(span / PARTS) or 0
end

-- The parts of a key's larger windows that count, oldest first, and the members of the parts that no longer count.
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
