-- A page of the products of one of the day's keys, held against each other. It changes no counts.
-- KEYS: the day's public key. ARGV: token, pages fed, milliseconds of the lease, which key (from 1), its cursor, how many.
-- Answers nothing where the shadow is not this one any more; else how many keys there are, the next cursor, products that no
-- earlier key has, then seven for each that differs or has foreign events: product, score and amount of the shadow, of the board,
-- and of foreign events, which are in no recount.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return {}
end
redis.call('PEXPIRE', board.shadow, ARGV[3])
local keys = {
  {'ZSCAN', 'ZMSCORE', board.twin.score}, {'HSCAN', 'HMGET', board.twin.amount},
  {'ZSCAN', 'ZMSCORE', board.live.score}, {'HSCAN', 'HMGET', board.live.amount},
  {'HSCAN', 'HMGET', board.foreign_score}, {'HSCAN', 'HMGET', board.foreign_amount},
}
local which = tonumber(ARGV[4])
local page = redis.call(keys[which][1], keys[which][3], ARGV[5], 'COUNT', ARGV[6])
local answer = {tostring(#keys), page[1], '0'}
local products = {}
for i = 1, #page[2], 2 do
  products[#products + 1] = page[2][i]
end
-- What an earlier key has was looked at there.
for earlier = 1, which - 1 do
  if #products > 0 then
    local known = redis.call(keys[earlier][2], keys[earlier][3], unpack(products))
    local others = {}
    for i, product in ipairs(products) do
      if not known[i] then
        others[#others + 1] = product
      end
    end
    products = others
  end
end
if #products == 0 then
  return answer
end
answer[3] = tostring(#products)
local values = {}
for i, key in ipairs(keys) do
  values[i] = redis.call(key[2], key[3], unpack(products))
end
for i, product in ipairs(products) do
  local has_foreign = values[5][i] or values[6][i]
  local differs = (values[1][i] or '0') ~= (values[3][i] or '0') or (values[2][i] or '0') ~= (values[4][i] or '0')
  if has_foreign or differs then
    answer[#answer + 1] = product
    for key = 1, #keys do
      answer[#answer + 1] = values[key][i] or '0'
    end
  end
end
return answer
