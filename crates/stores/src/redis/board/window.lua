-- KEYS: where the days' sum is kept for a moment, then the public key of each day. ARGV[2]: milliseconds that it is kept.
local boards, missing = {}, {'missing'}
for i = 2, #KEYS do
  local board = board_of(KEYS[i])
  if redis.call('EXISTS', board.generation) == 0 then
    missing[#missing + 1] = KEYS[i]
  end
  boards[#boards + 1] = board
end
if #missing > 1 then
  return missing
end
local sum = boards[1].live.order
if #boards > 1 then
  sum = KEYS[1]
  if redis.call('EXISTS', sum) == 0 then
    local union = {'ZUNIONSTORE', sum, #boards}
    for _, board in ipairs(boards) do
      union[#union + 1] = board.live.order
    end
    redis.call(unpack(union))
    redis.call('PEXPIRE', sum, ARGV[2])
  end
end

