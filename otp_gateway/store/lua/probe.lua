-- probe.lua: make the writes that a login needs, and delete the keys.
--
-- KEYS   1  otp:{probe}:code       hash, TTL ARGV 1; deleted by this script
--        2  otp:{probe}:sends      list, TTL ARGV 1; deleted by this script
--        3  otp:{probe}:sessions   sorted set, TTL ARGV 1; deleted by this script
--        4  otp:{probe}:call:      string, TTL ARGV 1; deleted by this script
-- ARGV   1  lifetime of the keys if this script does not reach its last command, ms
-- REPLY  {'done'}
--
-- Redis refuses this script in the same cases in which it would refuse a login: it is a replica, it is out of memory,
-- it has too few replicas, or the Redis user may not run one of these commands.

local now = string.format('%.0f', now_ms())
redis.call('HSET', KEYS[1], 'nonce', now, 'phone', now)
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('HMGET', KEYS[1], 'nonce', 'phone')
redis.call('HGETALL', KEYS[1])
redis.call('HINCRBY', KEYS[1], 'sends', 1)
redis.call('HGET', KEYS[1], 'nonce')
redis.call('HDEL', KEYS[1], 'phone')
redis.call('PTTL', KEYS[1])
redis.call('RPUSH', KEYS[2], now, now)
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', now_ms() + ARGV[1]))
redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('LINDEX', KEYS[2], -1)
redis.call('LSET', KEYS[2], 0, now)
redis.call('LPOP', KEYS[2])
redis.call('LREM', KEYS[2], 1, now)
redis.call('ZADD', KEYS[3], now, 'a', '1', 'b')
redis.call('PEXPIRE', KEYS[3], ARGV[1])
redis.call('ZINCRBY', KEYS[3], 1, 'b')
redis.call('ZSCORE', KEYS[3], 'a')
redis.call('ZCARD', KEYS[3])
redis.call('ZCOUNT', KEYS[3], '-inf', '+inf')
redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf')
redis.call('ZREVRANGE', KEYS[3], 0, 0)
redis.call('ZREM', KEYS[3], 'b')
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', '1')
redis.call('ZREMRANGEBYRANK', KEYS[3], 0, 0)
redis.call('SET', KEYS[4], now, 'PX', ARGV[1])
redis.call('GET', KEYS[4])
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
return { 'done' }
