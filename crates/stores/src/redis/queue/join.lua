-- Places for users in order of arrival. KEYS: queue, meta, members, results. ARGV: user, now (microseconds), for each user.
-- Answers 'unknown', 'recovering', or the base, the last number before these, and what became of each user: 'queued' at the next
-- number, 'again' with the number they have, 'settled' with its result, or why not.
local meta = redis.call('HMGET', KEYS[2], 'state', 'base', 'slots', 'last', 'from', 'to', 'keep')
local state, base = meta[1], meta[2]
if not state then return {'unknown'} end
if state == 'RECOVERING' then return {'recovering'} end
local last, from, to = tonumber(meta[4]), tonumber(meta[5]), tonumber(meta[6])
local limit = tonumber(base) + tonumber(meta[3])
local users = {}
for i = 1, #ARGV, 2 do users[#users + 1] = ARGV[i] end
local members = redis.call('HMGET', KEYS[3], unpack(users))
local results = redis.call('HMGET', KEYS[4], unpack(users))
local given, joined, queued, again, answer = {}, {}, {}, {}, {base, meta[4]}
for i, user in ipairs(users) do
  local now = ARGV[2 * i]
  local sequence = given[user]
  local result = not sequence and members[i] and results[i]
  if not sequence and members[i] and not result then sequence = string.match(members[i], '^%d+') end
  local word
  if sequence then word = 'again ' .. sequence
  elseif result and result ~= 'restarted' then word = 'settled ' .. result
  elseif state == 'CLOSED' then word = 'closed'
  elseif state == 'PAUSED' then word = 'paused'
  elseif tonumber(now) < from then word = 'not-open'
  elseif tonumber(now) >= to then word = 'ended'
  elseif last >= limit then word = 'sold-out'
  else
    last = last + 1
    sequence = string.format('%d', last)
    given[user] = sequence
    local n = #joined
    joined[n + 1], joined[n + 2] = user, sequence .. ':' .. now
    queued[n + 1], queued[n + 2] = sequence, user
    if result then again[#again + 1] = user end
    word = 'queued'
  end
  answer[i + 2] = word
end
if #joined > 0 then
  local new_members = redis.call('EXISTS', KEYS[3]) == 0
  local new_queue = redis.call('EXISTS', KEYS[1]) == 0
  redis.call('HSET', KEYS[2], 'last', string.format('%d', last))
  redis.call('HSET', KEYS[3], unpack(joined))
  redis.call('ZADD', KEYS[1], unpack(queued))
  if #again > 0 then redis.call('HDEL', KEYS[4], unpack(again)) end
  if new_members then redis.call('PEXPIREAT', KEYS[3], meta[7]) end
  if new_queue then redis.call('PEXPIREAT', KEYS[1], meta[7]) end
end
return answer
