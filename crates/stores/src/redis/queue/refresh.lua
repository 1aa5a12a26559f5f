-- Newer terms of the same epoch. KEYS: queue, meta, members, results, leased.
-- ARGV: epoch, slots, from, to (microseconds), keep (milliseconds), state, version.
local meta = redis.call('HMGET', KEYS[2], 'state', 'epoch', 'version', 'slots')
if not meta[1] then return {'missing'} end
local epoch = tonumber(meta[2])
if epoch < tonumber(ARGV[1]) then return {'older'} end
if epoch > tonumber(ARGV[1]) then return {'newer'} end
if meta[1] == 'RECOVERING' then return {'recovering'} end
local known, version = tonumber(meta[3]), tonumber(ARGV[7])
if version > known or (version == known and meta[4] ~= ARGV[2]) then
  redis.call('HSET', KEYS[2], 'slots', ARGV[2], 'from', ARGV[3], 'to', ARGV[4], 'keep', ARGV[5], 'state', ARGV[6], 'version', ARGV[7])
  for i = 1, #KEYS do redis.call('PEXPIREAT', KEYS[i], ARGV[5]) end
end
local waiting, leased = redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[5])
local unsettled = redis.call('HLEN', KEYS[3]) - redis.call('HLEN', KEYS[4]) - waiting - leased
return {'current', tostring(waiting), tostring(leased), tostring(math.max(unsettled, 0))}
