-- One user's place. KEYS: queue, meta, members, results. ARGV: user, now (microseconds).
local meta = redis.call('HMGET', KEYS[2], 'state', 'base', 'slots', 'last', 'from', 'to', 'keep')
local state, base, last = meta[1], meta[2], meta[4]
if not state then return {'unknown'} end
if state == 'RECOVERING' then return {'recovering'} end
local member = redis.call('HGET', KEYS[3], ARGV[1])
local result = member and redis.call('HGET', KEYS[4], ARGV[1])
if member and not result then
  return {'again', string.match(member, '^%d+'), base, last}
end
if result and result ~= 'restarted' then return {'settled', result} end
if state == 'CLOSED' then return {'closed'} end
if state == 'PAUSED' then return {'paused'} end
local now = tonumber(ARGV[2])
if now < tonumber(meta[5]) then return {'not-open'} end
if now >= tonumber(meta[6]) then return {'ended'} end
if tonumber(last) >= tonumber(base) + tonumber(meta[3]) then return {'sold-out'} end
local sequence = string.format('%.0f', redis.call('HINCRBY', KEYS[2], 'last', 1))
redis.call('HSET', KEYS[3], ARGV[1], sequence .. ':' .. ARGV[2])
redis.call('ZADD', KEYS[1], sequence, ARGV[1])
if result then redis.call('HDEL', KEYS[4], ARGV[1]) end
if redis.call('HLEN', KEYS[3]) == 1 then redis.call('PEXPIREAT', KEYS[3], meta[7]) end
if redis.call('ZCARD', KEYS[1]) == 1 then redis.call('PEXPIREAT', KEYS[1], meta[7]) end
return {'queued', sequence, base, sequence}
