#!lua
-- Compare-and-set of one document with everything that changes beside it.
-- KEYS: life, documents, SKUs, tally, news, then per pool: ready, dispatched, leased.
-- ARGV: life, SKU, version expected ('' = none is there yet), new version and document,
--   news kept, number of index ops, per op: place (0 none, 1 ready, 3 leased), pool's
--   number from 0, member, time; number of totals, per total: name, difference; news.
-- Answers {'done'}, {'life', its life} or {'conflict', what is there}.
-- The server refuses it as a whole when memory is short, so all of it happens or nothing.
local life = redis.call('GET', KEYS[1])
if life ~= ARGV[1] then
  return { 'life', life or '' }
end
local present = redis.call('HGET', KEYS[2], ARGV[2]) or ''
local version = string.sub(present, 1, 16)
if version == string.sub(ARGV[4], 1, 16) then
  return { 'done' } -- this very call, repeated because its answer was lost
end
if version ~= ARGV[3] then
  return { 'conflict', present }
end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[4])
if version == '' then
  redis.call('ZADD', KEYS[3], 0, ARGV[2])
end
local at = 7
for _ = 1, tonumber(ARGV[6]) do
  local place = tonumber(ARGV[at])
  local before = 5 + 3 * tonumber(ARGV[at + 1])
  local member = ARGV[at + 2]
  for other = 1, 3 do
    if other ~= place then
      redis.call('ZREM', KEYS[before + other], member)
    end
  end
  if place ~= 0 then
    redis.call('ZADD', KEYS[before + place], ARGV[at + 3], member)
  end
  at = at + 4
end
local totals = tonumber(ARGV[at])
at = at + 1
for _ = 1, totals do
  -- A total that overflows stays as it is: totals decide nothing.
  redis.pcall('HINCRBY', KEYS[4], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for i = at, #ARGV do
  redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[5], '*', 'n', ARGV[i])
end
return { 'done' }
