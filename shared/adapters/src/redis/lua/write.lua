#!lua
-- Compare-and-set of one document with everything that changes beside it.
-- KEYS: life, documents, then those that the commands name.
-- ARGV: life, SKU, version expected ('' = none is there yet), new version and document;
--   then commands: name, number of its key, number of arguments, arguments.
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
local at, last, failure = 5, #ARGV, nil
while at <= last do
  local args = tonumber(ARGV[at + 2])
  local answer =
    redis.pcall(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + args))
  -- A total that overflows stays as it is: totals decide nothing.
  if type(answer) == 'table' and answer.err and not string.find(answer.err, 'overflow', 1, true) then
    failure = failure or answer.err
  end
  at = at + 3 + args
end
if failure then
  return redis.error_reply(failure)
end
return { 'done' }
