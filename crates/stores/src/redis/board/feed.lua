-- KEYS: the day's public key. ARGV: token, pages fed before, pages fed after, milliseconds of the lease, when the day expires;
-- then five an entry: block and bit of its number ('' twice for none), product, quantity, amount. 1: counted; 0: the shadow is
-- not this one any more.
local board = board_of(KEYS[1])
if not held(board, ARGV[1], ARGV[2]) then
  return 0
end
begin(board.twin)
for i = 6, #ARGV, 5 do
  local product, quantity, amount = ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  if ARGV[i] == '' then
    gather(board.twin, product, quantity, amount)
  else
    count_once(board.twin, ARGV[i], ARGV[i + 1], product, quantity, amount)
  end
end
pour(board.twin)
expire_sheet(board.twin, ARGV[5])
redis.call('HSET', board.shadow, 'pages', ARGV[3])
redis.call('PEXPIRE', board.shadow, ARGV[4])
return 1
