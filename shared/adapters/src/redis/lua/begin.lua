#!lua
-- Begins another life of a batch: nothing of the one before stays.
-- KEYS: life, then every other key of the batch's documents and index.
-- ARGV: the life that was seen ('' = none), the new one. Answers the life it has now.
local life = redis.call('GET', KEYS[1]) or ''
if life ~= ARGV[1] then
  return life
end
redis.call('SET', KEYS[1], ARGV[2])
for i = 2, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return ARGV[2]
