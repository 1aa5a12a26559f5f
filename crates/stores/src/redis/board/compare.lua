-- KEYS: the day's public key. ARGV: token, pages fed, differences listed at most. Removes the shadow.
-- Answers nothing where the shadow is not this one any more; else products, differences, pieces from foreign events, then five
-- a difference: product, expected and found score, expected and found amount.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return {}
end
local foreign = add_foreign(board)

local function read(sheet)
  local scores, amounts = {}, {}
  local list = redis.call('ZRANGE', sheet.score, 0, -1, 'WITHSCORES')
  for i = 1, #list, 2 do
    scores[list[i]] = list[i + 1]
  end
  list = redis.call('HGETALL', sheet.amount)
  for i = 1, #list, 2 do
    amounts[list[i]] = list[i + 1]
  end
  return scores, amounts
end

local expected, expected_amount = read(board.twin)
local found, found_amount = read(board.live)
local products, total = {}, 0
for _, list in ipairs({expected, expected_amount, found, found_amount}) do
  for product in pairs(list) do
    if products[product] == nil then
      total = total + 1
      products[product] = (expected[product] or '0') ~= (found[product] or '0')
        or (expected_amount[product] or '0') ~= (found_amount[product] or '0')
    end
  end
end
local different = {}
for product, differs in pairs(products) do
  if differs then
    different[#different + 1] = product
  end
end
-- A member that is no number is somebody else's: it sorts first.
table.sort(different, function(a, b)
  local x, y = tonumber(a) or -1, tonumber(b) or -1
  if x == y then
    return a < b
  end
  return x < y
end)

local answer = {string.format('%.0f', total), tostring(#different), string.format('%.0f', foreign)}
for i = 1, math.min(#different, tonumber(ARGV[3])) do
  local product = different[i]
  answer[#answer + 1] = product
  answer[#answer + 1] = expected[product] or '0'
  answer[#answer + 1] = found[product] or '0'
  answer[#answer + 1] = expected_amount[product] or '0'
  answer[#answer + 1] = found_amount[product] or '0'
end
drop(board.twin)
redis.call('DEL', board.shadow)
return answer
