-- Back to waiting at the old numbers. KEYS: queue, meta, members, results, leased. ARGV: user, sequence, user, sequence, ...
local keep = redis.call('HGET', KEYS[2], 'keep')
if not keep then return 0 end
for i = 1, #ARGV, 2 do
  local member = redis.call('HGET', KEYS[3], ARGV[i])
  if member and string.match(member, '^%d+') == ARGV[i + 1] and redis.call('HEXISTS', KEYS[4], ARGV[i]) == 0 then
    redis.call('ZREM', KEYS[5], ARGV[i])
    redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
  end
end
redis.call('PEXPIREAT', KEYS[1], keep)
return 1
