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

-- What a batch counts on a sheet: sums by product, so that the sets are written once a product, and the numbers whose bits are
-- set together, a call a block. `pour` writes it. Sums are exact below 2^53: what could lead past it in one batch is counted
-- by itself.
local LARGE = 13  -- characters; 10^12 a thousand times is below 2^53
local EVENTS = 1000  -- Lua passes some thousands of values to a call, and a bit takes four

local function begin(sheet)
  sheet.quantities, sheet.amounts, sheet.entries = {}, {}, 0
  sheet.pending = {}
end

local function write(sheet)
  for product, quantity in pairs(sheet.quantities) do
    count(sheet, product, string.format('%.0f', quantity), string.format('%.0f', sheet.amounts[product]))
  end
  sheet.quantities, sheet.amounts, sheet.entries = {}, {}, 0
end

local function gather(sheet, product, quantity, amount)
  if #quantity > LARGE or #amount > LARGE then
    return count(sheet, product, quantity, amount)
  end
  if sheet.entries == EVENTS then
    write(sheet)
  end
  sheet.entries = sheet.entries + 1
  sheet.quantities[product] = (sheet.quantities[product] or 0) + tonumber(quantity)
  sheet.amounts[product] = (sheet.amounts[product] or 0) + tonumber(amount)
end

-- Sets the bits of a block; an event counts whose bit was not set, so the first of two with one number.
local function note(sheet, block)
  local before = redis.call('BITFIELD', block.key, unpack(block.bits))
  local events = block.events
  for i = 1, #before do
    if before[i] == 0 then
      gather(sheet, events[3 * i - 2], events[3 * i - 1], events[3 * i])
    end
  end
  block.bits, block.events, block.size = {}, {}, 0
end

-- Counts an event unless its number, `bit` of `number`, is noted already.
local function count_once(sheet, number, bit, product, quantity, amount)
  local block = sheet.pending[number]
  if not block then
    redis.call('SADD', sheet.blocks, number)
    block = {key = sheet.seen .. number, bits = {}, events = {}, size = 0}
    sheet.pending[number] = block
  elseif block.size == EVENTS then
    note(sheet, block)
  end
  local bits, at = block.bits, 4 * block.size
  bits[at + 1], bits[at + 2], bits[at + 3], bits[at + 4] = 'SET', 'u1', bit, '1'
  local events = block.events
  at = 3 * block.size
  events[at + 1], events[at + 2], events[at + 3] = product, quantity, amount
  block.size = block.size + 1
end

local function pour(sheet)
  for _, block in pairs(sheet.pending) do
    note(sheet, block)
  end
  write(sheet)
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

