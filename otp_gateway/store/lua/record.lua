-- record.lua: add sends to the list of a phone's sends, which the panel shows.
--
-- KEYS   1  otp:{pid}:outcomes   list, newest first, TTL ARGV 1 or ARGV 2
-- ARGV   1  TTL of a list with a send that called the provider, ms
--        2  TTL of a list that has only refused sends, ms
--        3  how many sends the list keeps
--        4  how many sends a list keeps that has only refused sends
--        5… one entry for each send, oldest first: 'time times id outcome reason …'
-- REPLY  {'recorded'}
--
-- If the id of an entry is in the list, an earlier attempt of the same call has written it. If a refused send follows
-- a refused send with the same reason, it replaces that send, and 'times' counts both. So a client that repeats a
-- refused request does not remove the other sends from the list.

local pattern = '^(%d+) (%d+) (%S+) (%S+) (%S+) '
local known, called = {}, false
local newest
for i, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local _, times, id, outcome, reason = string.match(entry, pattern)
  if id then
    known[id] = true
    called = called or outcome ~= 'refused'
    newest = newest or { times = times, outcome = outcome, reason = reason }
  end
end

for i = 5, #ARGV do
  local at, times, id, outcome, reason = string.match(ARGV[i], pattern)
  local rest = string.sub(ARGV[i], #at + #times + 3)
  if not known[id] then
    if newest and outcome == 'refused' and newest.outcome == outcome and newest.reason == reason then
      times = tonumber(times) + tonumber(newest.times)
      redis.call('LSET', KEYS[1], 0, string.format('%s %d %s', at, times, rest))
    else
      redis.call('LPUSH', KEYS[1], ARGV[i])
    end
    known[id] = true
    called = called or outcome ~= 'refused'
    newest = { times = times, outcome = outcome, reason = reason }
  end
end
redis.call('LTRIM', KEYS[1], 0, tonumber(called and ARGV[3] or ARGV[4]) - 1)
redis.call('PEXPIRE', KEYS[1], called and ARGV[1] or ARGV[2])
return { 'recorded' }
