-- The new epoch's keys take the old ones' places, at once. KEYS: queue, meta, members, results, leased, new queue, new members, new results.
-- ARGV: epoch, base, slots, last, from, to (microseconds), keep (milliseconds), state, version. 0: this epoch or a newer one is there.
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if epoch and tonumber(epoch) >= tonumber(ARGV[1]) then
  redis.call('DEL', KEYS[6], KEYS[7], KEYS[8])
  return 0
end
redis.call('DEL', KEYS[1], KEYS[3], KEYS[4], KEYS[5])
local places = {KEYS[1], KEYS[3], KEYS[4]}
for i = 1, 3 do
  if redis.call('EXISTS', KEYS[5 + i]) == 1 then
    redis.call('RENAME', KEYS[5 + i], places[i])
    redis.call('PEXPIREAT', places[i], ARGV[7])
  end
end
redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'base', ARGV[2], 'slots', ARGV[3], 'last', ARGV[4], 'from', ARGV[5],
  'to', ARGV[6], 'keep', ARGV[7], 'state', ARGV[8], 'version', ARGV[9])
redis.call('HDEL', KEYS[2], 'leader', 'leader_until')
redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('PEXPIREAT', KEYS[2], ARGV[7])
return 1
