-- What all scripts of the board share. A sheet is one set of counts of one day: the live one, or the shadow that a rebuild
-- fills. All keys of a day lie in the slot of its public key, which is their hash tag.
local function sheet_of(day, public, word)
  local tag = '{' .. day .. '}'
  return {
    score = public,                          -- zset: product, pieces
    order = 'madang:' .. word .. 'order:' .. tag,    -- zset: as score, members that sort equal scores by product id
    amount = 'madang:' .. word .. 'amount:' .. tag,  -- hash: product, money
    seen = 'madang:' .. word .. 'seen:' .. tag .. ':',   -- bits: event numbers that count here
    blocks = 'madang:' .. word .. 'blocks:' .. tag,  -- set: which keys of bits there are
  }
end

local function board_of(day)
  local tag = '{' .. day .. '}'
  return {
    live = sheet_of(day, day, ''),
    twin = sheet_of(day, 'madang:shadow-score:' .. tag, 'shadow-'),
    generation = 'madang:generation:' .. tag,  -- exists: there is a board
    shadow = 'madang:shadow:' .. tag,          -- exists: a rebuild is on; its token and the pages fed
    foreign = 'madang:foreign:' .. tag,        -- set: ids of events that are not this shop's own
    foreign_score = 'madang:foreign-score:' .. tag,
    foreign_amount = 'madang:foreign-amount:' .. tag,
  }
end

-- 2^53, above every product id: members are as long as each other and the smallest id has the largest.
local ABOVE = 9007199254740992

local function member_of(product)
  return string.format('%016.0f', ABOVE - tonumber(product))
end

local function product_of(member)
  return string.format('%.0f', ABOVE - tonumber(member))
end

-- A sum past 64 bits is left as it was: no event of this shop comes near.
local function add(hash, product, by)
  if by ~= '0' and redis.pcall('HINCRBY', hash, product, by) == 0 then
    redis.call('HDEL', hash, product)
  end
end

local function count(sheet, product, quantity, amount)
  if quantity ~= '0' then
    local score = redis.call('ZINCRBY', sheet.score, quantity, product)
    if tonumber(score) == 0 then
      redis.call('ZREM', sheet.score, product)
      redis.call('ZREM', sheet.order, member_of(product))
    else
      redis.call('ZADD', sheet.order, score, member_of(product))
    end
  end
  add(sheet.amount, product, amount)
end

-- What a batch counts, by product, so that the sets are written once a product. Sums are exact below 2^53: what could lead
-- past it in one batch is counted by itself.
local LARGE = 13  -- characters; 10^12 a thousand times is below 2^53

local function tally()
  return {quantities = {}, amounts = {}, entries = 0}
end

local function pour(sheet, sums)
  for product, quantity in pairs(sums.quantities) do
    count(sheet, product, string.format('%.0f', quantity), string.format('%.0f', sums.amounts[product]))
  end
end

-- The tally to go on with.
local function gather(sheet, sums, product, quantity, amount)
  if #quantity > LARGE or #amount > LARGE then
    count(sheet, product, quantity, amount)
    return sums
  end
  if sums.entries == 1000 then
    pour(sheet, sums)
    sums = tally()
  end
  sums.entries = sums.entries + 1
  sums.quantities[product] = (sums.quantities[product] or 0) + tonumber(quantity)
  sums.amounts[product] = (sums.amounts[product] or 0) + tonumber(amount)
  return sums
end

-- Notes the event number; whether it was new here. `known` is the caller's, of this sheet: blocks that are listed already.
local function note(sheet, seq, known)
  local n = tonumber(seq)
  local number = math.floor(n / 65536)
  local bits = known[number]
  if not bits then
    local block = string.format('%.0f', number)
    redis.call('SADD', sheet.blocks, block)
    bits = sheet.seen .. block
    known[number] = bits
  end
  return redis.call('SETBIT', bits, n % 65536, 1) == 0
end

local function drop(sheet)
  for _, block in ipairs(redis.call('SMEMBERS', sheet.blocks)) do
    redis.call('UNLINK', sheet.seen .. block)
  end
  redis.call('UNLINK', sheet.score, sheet.order, sheet.amount, sheet.blocks)
end

local function expire_sheet(sheet, at)
  for _, block in ipairs(redis.call('SMEMBERS', sheet.blocks)) do
    redis.call('EXPIREAT', sheet.seen .. block, at)
  end
  for _, name in ipairs({'score', 'order', 'amount', 'blocks'}) do
    redis.call('EXPIREAT', sheet[name], at)
  end
end

local function expire_board(board, at)
  for _, name in ipairs({'generation', 'foreign', 'foreign_score', 'foreign_amount'}) do
    redis.call('EXPIREAT', board[name], at)
  end
end

-- Whether the shadow is still the one of this token, with so many pages fed.
local function held(board, token, pages)
  local shadow = redis.call('HMGET', board.shadow, 'token', 'pages')
  return shadow[1] == token and shadow[2] == pages
end

-- What foreign events count for is in no recount: it is added to the shadow at the end.
local function add_foreign(board)
  local total = 0
  local scores = redis.call('HGETALL', board.foreign_score)
  for i = 1, #scores, 2 do
    count(board.twin, scores[i], scores[i + 1], '0')
    total = total + tonumber(scores[i + 1])
  end
  local amounts = redis.call('HGETALL', board.foreign_amount)
  for i = 1, #amounts, 2 do
    count(board.twin, amounts[i], '0', amounts[i + 1])
  end
  return total
end

