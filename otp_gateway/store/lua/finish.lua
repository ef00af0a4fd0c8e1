-- finish.lua: keep the outcome of a send for a repeated request with the same idempotency key.
--
-- KEYS   1  otp:{pid}:call:<id>   string, TTL as issue.lua set it
-- ARGV   1  the text that issue.lua wrote there, up to the send id
--        2  the outcome: the fingerprint, and 'sent:nonce' or 'unconfirmed'
-- REPLY  {'kept'}
--        {'gone'}   the record has expired, or is not of this send

if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then
  return { 'gone' }
end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return { 'kept' }
