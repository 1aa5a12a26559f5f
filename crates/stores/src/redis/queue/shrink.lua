-- Fewer slots, unless more numbers are given out. KEYS: meta. ARGV: slots. Answers {} or how many are given.
local meta = redis.call('HMGET', KEYS[1], 'state', 'base', 'last', 'slots')
if not meta[1] then return {} end
local given = tonumber(meta[3]) - tonumber(meta[2])
if given > tonumber(ARGV[1]) then return {string.format('%.0f', given)} end
if tonumber(meta[4]) > tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'slots', ARGV[1]) end
return {}
