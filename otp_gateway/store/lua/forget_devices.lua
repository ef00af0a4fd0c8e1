-- forget_devices.lua: make all present device tokens of a phone worthless.
--
-- KEYS   1  otp:{pid}:devices_since   integer, TTL ARGV 2: the time of this call, ms
-- ARGV   1  deadline in ms of Redis's time
--        2  the longest lifetime of a device token, ms
-- REPLY  {'done'}
--        {'late'}   the deadline has passed: no key was changed

local now = now_ms()
if now >= tonumber(ARGV[1]) then
  return { 'late' }
end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', ARGV[2])
return { 'done' }
