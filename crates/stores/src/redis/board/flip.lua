-- KEYS: the day's public key. ARGV: token, pages fed, when the day expires. 1: done; 0: the shadow is not this one any more.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return 0
end
add_foreign(board)
drop(board.live)
for _, name in ipairs({'score', 'order', 'amount', 'blocks'}) do
  if redis.call('EXISTS', board.twin[name]) == 1 then
    redis.call('RENAME', board.twin[name], board.live[name])
  end
end
for _, block in ipairs(redis.call('SMEMBERS', board.live.blocks)) do
  redis.call('RENAME', board.twin.seen .. block, board.live.seen .. block)
end
redis.call('INCR', board.generation)
redis.call('DEL', board.shadow)
expire_sheet(board.live, ARGV[3])
expire_board(board, ARGV[3])
return 1
