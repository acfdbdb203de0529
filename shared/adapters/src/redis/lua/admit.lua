#!lua
-- One call under a rate, a number of places and a gate: all or nothing.
-- KEYS: places (holder by end of lease), state (gate, unused).
-- ARGV: now ms, lease ms, holder, places (0 = no limit), interval us (0 = no limit),
--   tolerance us, skew ms.
-- Answers {'granted'} or {what is waited for, time in ms}.
local now, lease, holder = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local places, interval, tolerance = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local function take()
  redis.call('ZADD', KEYS[1], 'GT', now + lease, holder)
  redis.call('PEXPIRE', KEYS[1], lease + 86400000)
  return { 'granted', 0 }
end
if redis.call('ZSCORE', KEYS[1], holder) then
  return take()
end
local state = redis.call('HMGET', KEYS[2], 'gate', 'unused')
local gate, unused = tonumber(state[1] or 0), tonumber(state[2] or 0)
if gate > now then
  return { 'gate', gate - now }
end
if places > 0 and redis.call('ZCARD', KEYS[1]) >= places then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return { 'places', tonumber(first[2]) - now }
end
if interval > 0 then
  local now_us = now * 1000
  if unused > now_us + tolerance + interval + tonumber(ARGV[7]) * 1000 then
    unused = now_us + tolerance -- by a broken clock
  end
  unused = math.max(unused, now_us)
  local early = unused - tolerance - now_us
  if early > 0 then
    return { 'rate', math.ceil(early / 1000) }
  end
  unused = unused + interval
  redis.call('HSET', KEYS[2], 'unused', string.format('%.0f', unused))
  redis.call('PEXPIRE', KEYS[2], math.ceil((unused - now_us) / 1000) + 3600000)
end
return take()
