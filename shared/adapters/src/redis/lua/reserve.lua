#!lua
-- Puts money aside under a cap. KEYS: totals, amounts, times, settled.
-- ARGV: name, amount, cap (-1 = none), time ms.
-- Answers {'yes', 0}, {'over', what is free} or {'settled', what it cost}.
local name, amount, cap = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local actual = redis.call('HGET', KEYS[4], name)
if actual then
  return { 'settled', tonumber(actual) }
end
if redis.call('HEXISTS', KEYS[2], name) == 1 then
  return { 'yes', 0 }
end
local totals = redis.call('HMGET', KEYS[1], 'spent', 'reserved')
local bound = tonumber(totals[1] or 0) + tonumber(totals[2] or 0)
if cap >= 0 and bound + amount > cap then
  return { 'over', math.max(cap - bound, 0) }
end
redis.call('HSET', KEYS[2], name, ARGV[2])
redis.call('ZADD', KEYS[3], ARGV[4], name)
redis.call('HINCRBY', KEYS[1], 'reserved', ARGV[2])
return { 'yes', 0 }
