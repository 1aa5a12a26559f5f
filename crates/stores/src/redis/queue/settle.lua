-- Results. KEYS: queue, meta, members, results, leased. ARGV: user, sequence, word, user, sequence, word, ...
-- A refusal counts only for the number it was decided for; a coupon issued counts whatever the number.
local keep = redis.call('HGET', KEYS[2], 'keep')
if not keep then return 0 end
for i = 1, #ARGV, 3 do
  local user, sequence, word = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local member = redis.call('HGET', KEYS[3], user)
  local issued = string.sub(word, 1, 7) == 'issued:'
  local before = redis.call('HGET', KEYS[4], user)
  local held = before and string.sub(before, 1, 7) == 'issued:'
  if issued or (not held and (not member or string.match(member, '^%d+') == sequence)) then
    if not member then redis.call('HSET', KEYS[3], user, '0:0') end
    redis.call('HSET', KEYS[4], user, word)
    redis.call('ZREM', KEYS[1], user)
    redis.call('ZREM', KEYS[5], user)
  end
end
redis.call('PEXPIREAT', KEYS[3], keep)
redis.call('PEXPIREAT', KEYS[4], keep)
return 1
