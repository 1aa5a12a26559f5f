-- Published places no longer come back. KEYS: meta, leased. ARGV: token, users (at most a thousand).
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if #ARGV > 1 then redis.call('ZREM', KEYS[2], unpack(ARGV, 2)) end
return 1
