-- The step arm: the write is about to be sent.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state before the
--          write; [4] expectation; [5] age of the request in ms
-- Returns: {now, 'armed', epoch, generation}
--          {now, 'lost'}
--          {now, 'older'}: the request is older than the register's memory
-- Defines: arm
-- Uses:    prelude.lua (epoch, now); key.lua (held_by, lease); arming.lua (arm_lease,
--          is_remembered)

local function arm(KEYS, ARGV)
  if not held_by(ARGV[2]) or now >= lease.expires then
    return {now, 'lost'}
  end
  if not is_remembered(ARGV[5]) then
    return {now, 'older'}
  end
  arm_lease(ARGV[3], ARGV[4])
  return {now, 'armed', epoch.id, lease.generation}
end
