-- clear_sends.lua: make the windows of a phone forget its sends, for an operator.
--
-- KEYS   1  otp:{pid}:sends     list, TTL as issue.lua set it
--        2  otp:{pid}:d:sends   the same in the device lane, TTL as there
-- ARGV   1  deadline in ms of Redis's time
--        2  how long the last send must be remembered, ms
--        3… per window: limit, window in ms
-- REPLY  {'done'}      also when an earlier attempt of this call has done it
--        {'nothing'}   there is no send
--        {'late'}      the deadline has passed: no key was changed
--
-- The last send stays, because without it, the failures of the last day would no longer count. If a window admits only
-- one send, the last send gets an earlier time: it has just left this window then.

local now = now_ms()
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
local tag = 'nothing'
for lane = 1, #KEYS do
  local last = redis.call('LINDEX', KEYS[lane], -1)
  if last then
    local at, rest = string.match(last, '^(%d+)(:.+)$')
    local older = tonumber(at)
    for i = 3, #ARGV, 2 do
      -- If the window is as long as the last send must be remembered, the window stays full.
      if tonumber(ARGV[i]) == 1 and tonumber(ARGV[i + 1]) < tonumber(ARGV[2]) then
        older = math.min(older, now - tonumber(ARGV[i + 1]))
      end
    end
    redis.call('LSET', KEYS[lane], -1, string.format('%.0f%s', older, rest))
    redis.call('LTRIM', KEYS[lane], -1, -1)
    tag = 'done'
  end
end
return { tag }
