-- tally.lua: add counts, and sends and logins by prefix and by network, to the present step of each span.
--
-- KEYS   1  {usage}:batch:<id>               string, TTL ARGV 1: this batch was written
--        2  {usage}:<span>:<start>           hash of counts by name, TTL ARGV 3
--        3  {usage}:<kind>:<span>:<start>    hash 'member' -> 'weight:sends:logins', TTL ARGV 3; '*' has the sums.
--        For each span, there is the key of its counts, and then the key of each kind: #KEYS in all.
-- ARGV   1  how long the batch is remembered, ms
--        2  how many members a hash keeps
--        3  the TTLs of the spans' keys in seconds, separated by blanks
--        4  how many pairs of a name and a count follow
--        5… the pairs; then for each kind: how many members follow; the sums of sends and logins; and for each
--           member its name, sends and logins
-- REPLY  {'added'}
--        {'known'}   an earlier attempt of this call has added the batch
--
-- If a hash is full, a new member replaces the member with the smallest weight, and inherits this weight ("space
-- saving", Metwally 2005). So a member with a share above 1 / ARGV 2 is always in the hash, even if there are many
-- others. Its sends and logins are counted from the time at which it was added. So they are never too high.

if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'known' }
end
local function add_members(key, ttl, at)
  local number = tonumber(ARGV[at])
  local sends_of_all, logins_of_all = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if sends_of_all + logins_of_all == 0 then
    return at + 3
  end
  local members, size = {}, 0
  local kept = redis.call('HGETALL', key)
  for i = 1, #kept, 2 do
    local weight, sends, logins = string.match(kept[i + 1], '^(%d+):(%d+):(%d+)$')
    members[kept[i]] = { weight = tonumber(weight), sends = tonumber(sends), logins = tonumber(logins) }
    if kept[i] ~= '*' then
      size = size + 1
    end
  end
  local lightest, removed = nil, 0
  local function place()
    -- The weight that a new member inherits; 0 if the hash is not full.
    if size < tonumber(ARGV[2]) then
      size = size + 1
      return 0
    end
    if not lightest then
      lightest = {}
      for name, one in pairs(members) do
        if name ~= '*' and not one.changed then
          lightest[#lightest + 1] = { name = name, weight = one.weight }
        end
      end
      table.sort(lightest, function(one, other)
        return one.weight < other.weight or (one.weight == other.weight and one.name < other.name)
      end)
    end
    for i = removed + 1, #lightest do
      removed = i
      local name = lightest[i].name
      if not members[name].changed then
        members[name] = nil
        redis.call('HDEL', key, name)
        return lightest[i].weight
      end
    end
    return nil
  end
  local all = members['*'] or { weight = 0, sends = 0, logins = 0 }
  all.sends, all.logins = all.sends + sends_of_all, all.logins + logins_of_all
  redis.call('HSET', key, '*', string.format('0:%.0f:%.0f', all.sends, all.logins))
  for i = at + 3, at + 2 + 3 * number, 3 do
    local name, sends, logins = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
    local one = members[name]
    if not one then
      local weight = place()
      one = weight and { weight = weight, sends = 0, logins = 0 }
    end
    if one then
      one.changed = true
      one.weight, one.sends, one.logins = one.weight + sends + logins, one.sends + sends, one.logins + logins
      members[name] = one
      redis.call('HSET', key, name, string.format('%.0f:%.0f:%.0f', one.weight, one.sends, one.logins))
    end
  end
  redis.call('PEXPIRE', key, ttl)
  return at + 3 + 3 * number
end

redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
local ttls = {}
for ttl in string.gmatch(ARGV[3], '%d+') do
  ttls[#ttls + 1] = 1000 * tonumber(ttl)
end
local step = (#KEYS - 1) / #ttls
local names = tonumber(ARGV[4])
local first = 5
for s = 1, #ttls do
  local k = 2 + (s - 1) * step
  for i = first, first + 2 * names - 1, 2 do
    redis.call('HINCRBY', KEYS[k], ARGV[i], ARGV[i + 1])
  end
  redis.call('PEXPIRE', KEYS[k], ttls[s])
  local at = first + 2 * names
  for kind = k + 1, k + step - 1 do
    at = add_members(KEYS[kind], ttls[s], at)
  end
end
return { 'added' }
