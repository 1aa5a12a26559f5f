-- Results. KEYS: queue, meta, members, results, leased. ARGV: user, sequence, word, for each user (at most a thousand).
-- A refusal counts only for the number it was decided for; a coupon issued counts whatever the number.
local keep = redis.call('HGET', KEYS[2], 'keep')
if not keep then return 0 end
local users = {}
for i = 1, #ARGV, 3 do users[#users + 1] = ARGV[i] end
if #users == 0 then return 1 end
local members, results = redis.call('HMGET', KEYS[3], unpack(users)), redis.call('HMGET', KEYS[4], unpack(users))
-- A user may be there twice: what the first result made of it holds for the second.
local member_of, result_of = {}, {}
for i, user in ipairs(users) do member_of[user], result_of[user] = members[i], results[i] end
local strangers, settled, done = {}, {}, {}
for i, user in ipairs(users) do
  local sequence, word = ARGV[3 * i - 1], ARGV[3 * i]
  local member, before = member_of[user], result_of[user]
  local issued = string.sub(word, 1, 7) == 'issued:'
  local held = before and string.sub(before, 1, 7) == 'issued:'
  if issued or (not held and (not member or string.sub(member, 1, #sequence + 1) == sequence .. ':')) then
    if not member then
      member_of[user] = '0:0'
      strangers[#strangers + 1] = user
      strangers[#strangers + 1] = '0:0'
    end
    result_of[user] = word
    settled[#settled + 1] = user
    settled[#settled + 1] = word
    done[#done + 1] = user
  end
end
if #strangers > 0 then redis.call('HSET', KEYS[3], unpack(strangers)) end
if #done > 0 then
  redis.call('HSET', KEYS[4], unpack(settled))
  redis.call('ZREM', KEYS[1], unpack(done))
  redis.call('ZREM', KEYS[5], unpack(done))
end
redis.call('PEXPIREAT', KEYS[3], keep)
redis.call('PEXPIREAT', KEYS[4], keep)
return 1
