-- Where users stand. KEYS: meta, members, results. ARGV: users (at most a thousand).
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'base', 'last')
if not meta[1] then return {} end
if #ARGV == 0 then return meta end
local members = redis.call('HMGET', KEYS[2], unpack(ARGV))
local results = redis.call('HMGET', KEYS[3], unpack(ARGV))
for i = 1, #ARGV do
  meta[#meta + 1] = members[i] and string.match(members[i], '^%d+') or ''
  meta[#meta + 1] = results[i] or ''
end
return meta
