-- KEYS: the day's public key. ARGV: token, milliseconds of the lease. 1: opened; 0: another's lease is alive.
local board = board_of(KEYS[1])
if redis.call('EXISTS', board.shadow) == 1 then
  return 0
end
drop(board.twin)
redis.call('HSET', board.shadow, 'token', ARGV[1], 'pages', '0')
redis.call('PEXPIRE', board.shadow, ARGV[2])
return 1
