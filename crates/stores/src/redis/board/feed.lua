-- KEYS: the day's public key. ARGV: token, pages fed before, pages fed after, milliseconds of the lease, when the day expires;
-- then four an entry: number ('' for none), product, quantity, amount. 1: counted; 0: the shadow is not this one any more.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return 0
end
local sums, known = tally(), {}
for i = 6, #ARGV, 4 do
  if ARGV[i] == '' or note(board.twin, ARGV[i], known) then
    sums = gather(board.twin, sums, ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  end
end
pour(board.twin, sums)
expire_sheet(board.twin, ARGV[5])
redis.call('HSET', board.shadow, 'pages', ARGV[3])
redis.call('PEXPIRE', board.shadow, ARGV[4])
return 1
