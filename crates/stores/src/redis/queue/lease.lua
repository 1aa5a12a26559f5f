-- The next places in order, to one scheduler until a deadline; lapsed ones come back first.
-- KEYS: queue, meta, members, results, leased. ARGV: owner, now, deadline (microseconds), entries_max, unsettled_max.
-- Answers 'nothing', 'busy', or 'leased', epoch, token, and each user with what they are in the queue as (number:joined).
local meta = redis.call('HMGET', KEYS[2], 'state', 'epoch', 'keep', 'leader', 'leader_until', 'token')
local state, leader = meta[1], meta[4]
if not state or state == 'RECOVERING' or state == 'PAUSED' then return {'nothing'} end
if leader and leader ~= ARGV[1] and tonumber(meta[5]) > tonumber(ARGV[2]) then return {'busy'} end
local lapsed = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', ARGV[2], 'LIMIT', 0, ARGV[4])
for _, user in ipairs(lapsed) do
  redis.call('ZREM', KEYS[5], user)
  local member = redis.call('HGET', KEYS[3], user)
  if member and redis.call('HEXISTS', KEYS[4], user) == 0 then
    redis.call('ZADD', KEYS[1], string.match(member, '^%d+'), user)
  end
end
local waiting = redis.call('ZCARD', KEYS[1])
if waiting == 0 then return {'nothing'} end
if #lapsed > 0 then redis.call('PEXPIREAT', KEYS[1], meta[3]) end
local unsettled = redis.call('HLEN', KEYS[3]) - redis.call('HLEN', KEYS[4]) - waiting - redis.call('ZCARD', KEYS[5])
local room = math.min(tonumber(ARGV[4]), tonumber(ARGV[5]) - unsettled)
if room <= 0 then return {'nothing'} end
local token = meta[6] or '0'
if leader ~= ARGV[1] then
  token = string.format('%d', redis.call('HINCRBY', KEYS[2], 'token', 1))
  redis.call('HSET', KEYS[2], 'leader', ARGV[1])
end
redis.call('HSET', KEYS[2], 'leader_until', ARGV[3])
local answer = {'leased', meta[2], token}
local popped = redis.call('ZPOPMIN', KEYS[1], room)
local users = {}
for i = 1, #popped, 2 do users[#users + 1] = popped[i] end
-- Lua passes some thousands of values to a call.
for first = 1, #users, 1000 do
  local members = redis.call('HMGET', KEYS[3], unpack(users, first, math.min(first + 999, #users)))
  local leased = {}
  for i = 1, #members do
    local user = users[first + i - 1]
    if members[i] then
      local n, m = #leased, #answer
      leased[n + 1], leased[n + 2] = ARGV[3], user
      answer[m + 1], answer[m + 2] = user, members[i]
    end
  end
  if #leased > 0 then redis.call('ZADD', KEYS[5], unpack(leased)) end
end
redis.call('PEXPIREAT', KEYS[5], meta[3])
return answer
