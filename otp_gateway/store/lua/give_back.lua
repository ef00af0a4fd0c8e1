-- give_back.lua: give back the charges of sends to the gate, count logins, and count further messages of sends.
--
-- KEYS   1  gate:{send}:call:<id>   string, TTL ARGV 3: 'given', so that a repeated attempt has no effect
--        2  gate:{send}:shared      hash, TTL a week
--        3  gate:{send}:money       hash, TTL as it was, or as issue.lua sets it
--        4… per send: gate:{send}:network:<id> (hash, TTL a day; a week after a login), gate:{send}:prefix:<p>
--           (string, TTL a day), and the key of the login's network; without a login, the first of the three again
-- ARGV   1  credit of the networks' pools
--        2  budget: 'limit/ms' of each window, separated by blanks
--        3  how long this call is remembered, ms
--        4  further messages: a send has paid for one, and a second backend may have sent another one
--        5… per send: pool, or '?' if only the record of gate.lua in KEYS 1 has the charge; credits; 1 if the prefix
--           gets credits too; time of a solved challenge, or empty; time at which the budget has counted the send, or
--           empty; 1 if the login counts for its network
-- REPLY  {'given', percent of the budget that the further messages have reached, or 0}   with 0 if an earlier attempt
--        of this call has done it

local now = now_ms()
local SHARED, SENDS = 2, 4
local ITEMS = 5
local made = redis.call('GET', KEYS[1])
if made == 'given' then
  return { 'given', 0 }
end
redis.call('SET', KEYS[1], 'given', 'PX', ARGV[3])

local credit, budget = tonumber(ARGV[1]), ARGV[2]
local item = ITEMS
for network = SENDS, #KEYS, 3 do
  local prefix, login = network + 1, network + 2
  local pool, credits, foreign = ARGV[item], tonumber(ARGV[item + 1]), ARGV[item + 2] == '1'
  local solved, paid, counts = ARGV[item + 3], tonumber(ARGV[item + 4]), ARGV[item + 5] == '1'
  if pool == '?' then
    -- If there is no record, gate.lua has not run. From now on, it writes no key.
    local charge = made and select(5, string.match(made, DECIDED)) or ''
    local letters, of_pool, _, prefix_name, at = string.match(charge, CHARGE)
    letters = letters or ''
    pool, foreign, credits = of_pool, prefix_name ~= '', string.find(letters, 'f') and 1 or 0
    solved = string.find(letters, 's') and at or ''
    paid = string.find(letters, 'm') and tonumber(at)
  end
  if credits > 0 then
    local back = { pool = pool, credits = credits, foreign = foreign, credit = credit }
    add_credit(SHARED, network, prefix, back, now)
  end
  if solved ~= '' then
    return_solved(KEYS[network], solved)
  end
  if paid then
    return_money(KEYS[3], budget, paid, now)
  end
  if counts then
    count_login(KEYS[login], now)
  end
  item = item + 6
end
local messages, percent = tonumber(ARGV[4]), 0
if messages > 0 then
  local windows = read_money(KEYS[3], budget, now)
  if #windows > 0 then
    percent = reached(windows, messages)
    write_money(KEYS[3], windows, messages)
  end
end
return { 'given', percent }
