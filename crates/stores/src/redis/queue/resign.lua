-- KEYS: meta. ARGV: owner.
if redis.call('HGET', KEYS[1], 'leader') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'leader', 'leader_until')
end
return 1
