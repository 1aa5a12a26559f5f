-- Joins and leases stand still until the next epoch. KEYS: meta.
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], 'state', 'RECOVERING') end
return 1
