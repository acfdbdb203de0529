#!lua flags=allow-oom
-- Closes the gate until a time, or later. KEYS: state. ARGV: until ms, now ms.
local gate = math.max(tonumber(redis.call('HGET', KEYS[1], 'gate') or 0), tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'gate', string.format('%.0f', gate))
local keep = math.max(gate - tonumber(ARGV[2]), 0) + 3600000
if redis.call('PTTL', KEYS[1]) < keep then
  redis.call('PEXPIRE', KEYS[1], keep)
end
return 1
