-- KEYS: places, then the public key of each day.
-- ARGV: partition ('' for none), start, next, seconds that places live; when each day expires; then six an entry: index of
-- its day, block and bit of its number or '' and the id of a foreign event, product, quantity, amount.
local partition, start = ARGV[1], tonumber(ARGV[2])
if partition ~= '' then
  local known = redis.call('HGET', KEYS[1], partition)
  if known and tonumber(known) < start then
    return {'behind', known}
  elseif not known and start > 0 then
    return {'unplaced'}
  end
end

local boards, by_index, missing = {}, {}, {'missing'}
for i = 2, #KEYS do
  local board = board_of(KEYS[i])
  board.is_live = redis.call('EXISTS', board.generation) == 1
  board.is_shadowed = redis.call('EXISTS', board.shadow) == 1
  if not board.is_live and not board.is_shadowed then
    missing[#missing + 1] = KEYS[i]
  end
  begin(board.live)
  begin(board.twin)
  boards[i - 1] = board
  by_index[tostring(i - 1)] = board
end
if #missing > 1 then
  return missing
end

for i = 4 + #boards + 1, #ARGV, 6 do
  local board = by_index[ARGV[i]]
  local block, id = ARGV[i + 1], ARGV[i + 2]
  local product, quantity, amount = ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  if block ~= '' then
    if board.is_live then
      count_once(board.live, block, id, product, quantity, amount)
    end
    if board.is_shadowed then
      count_once(board.twin, block, id, product, quantity, amount)
    end
  elseif redis.call('SADD', board.foreign, id) == 1 then
    add(board.foreign_score, product, quantity)
    add(board.foreign_amount, product, amount)
    if board.is_live then
      count(board.live, product, quantity, amount)
    end
  end
end

for i, board in ipairs(boards) do
  pour(board.live)
  pour(board.twin)
  local at = ARGV[4 + i]
  expire_board(board, at)
  if board.is_live then
    expire_sheet(board.live, at)
  end
  if board.is_shadowed then
    expire_sheet(board.twin, at)
  end
end

if partition ~= '' then
  -- A batch that is delivered again does not move the partition back.
  local known = tonumber(redis.call('HGET', KEYS[1], partition) or '-1')
  if known < tonumber(ARGV[3]) then
    redis.call('HSET', KEYS[1], partition, ARGV[3])
  end
  redis.call('EXPIRE', KEYS[1], ARGV[4])
end
return {'done'}
