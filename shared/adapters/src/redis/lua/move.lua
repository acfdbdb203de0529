#!lua flags=allow-oom
-- Moves slots from one place of the index to another, those that still stand there.
-- Takes no memory, so it is allowed when there is none left: else a dispatcher would send
-- the same messages again and again.
-- KEYS: from, to. ARGV: time, members. Answers how many were moved.
local moved = 0
for i = 2, #ARGV do
  if redis.call('ZREM', KEYS[1], ARGV[i]) == 1 then
    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[i])
    moved = moved + 1
  end
end
return moved
