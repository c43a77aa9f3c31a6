-- Arming a lease.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: is_remembered, arm_lease
-- Uses:    format.rs (LEASE); clock.lua (now); lease.lua (lease, next_generation, put_lease);
--          record.lua (remembered_since, record, bury_doubt, put_record)

-- Does the register remember everything since the request arrived, `age` ms ago?
local function is_remembered(age)
  return now - age >= remembered_since()
end

-- Arms the asker's lease. The record is written only if more than its state changes.
local function arm_lease(pre, expect)
  lease.generation, lease.pre, lease.expect = next_generation(), pre, expect
  lease.expires = now + LEASE
  put_lease()
  record.state = '?'
  if bury_doubt() then
    put_record()
  end
end
