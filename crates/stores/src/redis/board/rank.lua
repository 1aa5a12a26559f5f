-- ARGV[1]: the product. Answers its rank from 1 and its score; nothing where it sold nothing.
local member = member_of(ARGV[1])
local score = redis.call('ZSCORE', sum, member)
if not score or tonumber(score) <= 0 then
  return {'found'}
end
return {'found', tostring(redis.call('ZREVRANK', sum, member) + 1), score}
