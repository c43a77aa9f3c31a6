-- Arming a lease.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: is_remembered, arm_lease
-- Uses:    format.rs (LEASE); clock.lua (now); lease.lua (lease, next_generation, put_lease);
--          record.lua (remembered_since, record, bury_doubt, put_record)

-- Is all remembered that happened since a request arrived, so long ago?
local function is_remembered(age)
  return now - age >= remembered_since()
end

-- Arms the lease, which is the asker's. The record is written only where more changes than the
-- state.
local function arm_lease(pre, expect)
  lease.generation, lease.pre, lease.expect = next_generation(), pre, expect
  lease.expires = now + LEASE
  put_lease()
  record.state = '?'
  if bury_doubt() then
    put_record()
  end
end
