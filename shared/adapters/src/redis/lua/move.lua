#!lua flags=allow-oom
-- Moves slots from one place of the index to another, those that still stand there.
-- Takes no memory, so it is allowed when there is none left: else a dispatcher would send
-- the same messages again and again.
-- KEYS: from, to. ARGV: time, members. Answers how many were moved.
local members, moved, into = {}, 0, {}
for i, score in ipairs(redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 2))) do
  if score then
    moved = moved + 1
    members[moved] = ARGV[i + 1]
    into[2 * moved - 1] = ARGV[1]
    into[2 * moved] = ARGV[i + 1]
  end
end
if moved > 0 then
  redis.call('ZREM', KEYS[1], unpack(members))
  redis.call('ZADD', KEYS[2], unpack(into))
end
return moved
