-- gate.lua: decide about a send before issue.lua runs. Only for clusters: gate and phone are in different slots.
--
-- KEYS   1  gate:{send}:call:<send id>   string, TTL 10 s: this reply, for a repeated attempt; or 'given'
--        2  gate:{send}:shared           hash, TTL a week
--        3  gate:{send}:network:<id>     hash, TTL a day; a week after a login
--        4  gate:{send}:prefix:<p>       string, TTL a day
--        5  gate:{send}:money            hash, TTL the longest window of the budget and a part of it
--        6  gate:{send}:pauses           hash, only read
-- ARGV   1  deadline in ms of Redis's time
--        2  mode: observe, on or off
--        3  the client's network
--        4  credit of the networks' pools
--        5  prefix of the phone
--        6  1 if the prefix is foreign
--        7  budget: 'limit/ms' of each window, separated by blanks
--        8  1 if the send has a solved challenge
--        9  1 if the client can be a device: then the whole budget counts, because issue.lua decides the rest
-- REPLY  {'decided', record}   decision, reason, 1 if refused, step of difficulty, charge or -, percent of the budget
--                              reached, separated by blanks
--        {'late'}   the deadline has passed, or the charge was given back: no key was changed

local now = now_ms()
local FIRST = 2
local made = redis.call('GET', KEYS[1])
if made and made ~= 'given' then
  return { 'decided', made }
end
if made or now >= tonumber(ARGV[1]) then
  return { 'late' }
end

local gate = decide(FIRST, {
  mode = ARGV[2],
  network = ARGV[3],
  credit = tonumber(ARGV[4]),
  prefix = ARGV[5],
  foreign = ARGV[6] == '1',
  budget = ARGV[7],
  solved = ARGV[8] == '1',
}, now)
local charge, percent = '', 0
if not gate.refused then
  percent = reached(gate.windows, 1)
  charge = take(gate, now)
elseif ARGV[9] == '1' and not is_used_up(gate.windows, WHOLE) and #gate.windows > 0 then
  percent = reached(gate.windows, 1)
  gate.letter = 'd'
  charge = take(gate, now)
end
local record = string.format(
  '%s %s %d %d %s %d',
  gate.decision, gate.reason, gate.refused and 1 or 0, gate.step, charge == '' and '-' or charge, percent
)
redis.call('SET', KEYS[1], record, 'PX', 10000)
return { 'decided', record }
