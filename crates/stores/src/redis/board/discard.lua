-- Removes the shadow. KEYS: the day's public key. ARGV: token, pages fed. 1: done; 0: the shadow is not this one any more.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return 0
end
drop(board.twin)
redis.call('DEL', board.shadow)
return 1
