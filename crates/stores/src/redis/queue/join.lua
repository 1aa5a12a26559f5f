-- Places for users in order of arrival. KEYS: queue, meta, members, results. ARGV: user, now (microseconds), for each user.
-- Answers 'unknown', 'recovering', or the base and three words a user: what became of it, a number or result, the last number.
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
local given, joined, queued, again, answer = {}, {}, {}, {}, {base}
local function say(word, what)
  answer[#answer + 1] = word
  answer[#answer + 1] = what or ''
  answer[#answer + 1] = string.format('%.0f', last)
end
for i, user in ipairs(users) do
  local now = ARGV[2 * i]
  local sequence = given[user]
  local result = not sequence and members[i] and results[i]
  if not sequence and members[i] and not result then sequence = string.match(members[i], '^%d+') end
  if sequence then say('again', sequence)
  elseif result and result ~= 'restarted' then say('settled', result)
  elseif state == 'CLOSED' then say('closed')
  elseif state == 'PAUSED' then say('paused')
  elseif tonumber(now) < from then say('not-open')
  elseif tonumber(now) >= to then say('ended')
  elseif last >= limit then say('sold-out')
  else
    last = last + 1
    sequence = string.format('%.0f', last)
    given[user] = sequence
    joined[#joined + 1] = user
    joined[#joined + 1] = sequence .. ':' .. now
    queued[#queued + 1] = sequence
    queued[#queued + 1] = user
    if result then again[#again + 1] = user end
    say('queued', sequence)
  end
end
if #joined > 0 then
  local new_members = redis.call('EXISTS', KEYS[3]) == 0
  local new_queue = redis.call('EXISTS', KEYS[1]) == 0
  redis.call('HSET', KEYS[2], 'last', string.format('%.0f', last))
  redis.call('HSET', KEYS[3], unpack(joined))
  redis.call('ZADD', KEYS[1], unpack(queued))
  if #again > 0 then redis.call('HDEL', KEYS[4], unpack(again)) end
  if new_members then redis.call('PEXPIREAT', KEYS[3], meta[7]) end
  if new_queue then redis.call('PEXPIREAT', KEYS[1], meta[7]) end
end
return answer
