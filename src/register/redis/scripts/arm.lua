-- The step arm: the write is about to be sent.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state before the
--          write; [4] expectation; [5] age of the request in ms
-- Returns: {now, 'armed', generation}
--          {now, 'lost'}
--          {now, 'older'}: the request is older than the register's memory
-- Uses:    clock.lua (now); lease.lua (held_by, lease, named); arming.lua (is_remembered,
--          arm_lease)

local token, pre, expect, age = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not held_by(token) or now >= lease.expires then
  return {now, 'lost'}
end
if not is_remembered(age) then
  return {now, 'older'}
end
arm_lease(pre, expect)
return {now, 'armed', named(lease.generation)}
