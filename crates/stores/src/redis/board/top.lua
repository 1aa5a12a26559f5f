-- ARGV[1]: how many. Answers three a product, best first: product, score, amount.
local list = redis.call('ZREVRANGEBYSCORE', sum, '+inf', '(0', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local products, amounts = {}, {}
for i = 1, #list, 2 do
  products[#products + 1] = product_of(list[i])
  amounts[#amounts + 1] = 0
end
if #products == 0 then
  return {'found'}
end
for _, board in ipairs(boards) do
  local some = redis.call('HMGET', board.live.amount, unpack(products))
  for i = 1, #products do
    amounts[i] = amounts[i] + tonumber(some[i] or '0')
  end
end
local answer = {'found'}
for i, product in ipairs(products) do
  answer[#answer + 1] = product
  answer[#answer + 1] = list[2 * i]
  answer[#answer + 1] = string.format('%.0f', amounts[i])
end
return answer
