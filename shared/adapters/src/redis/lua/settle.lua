#!lua flags=allow-oom
-- Ends a reservation: counts what it cost, or gives it back. Money that is spent is
-- counted also when memory is short.
-- KEYS: totals, amounts, times, settled. ARGV: name, actual ('' = it is given back).
if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 then
  return 0
end
local amount = redis.call('HGET', KEYS[2], ARGV[1])
if amount then
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('HINCRBY', KEYS[1], 'reserved', string.format('%.0f', 0 - tonumber(amount)))
end
if ARGV[2] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'spent', ARGV[2])
end
return 1
