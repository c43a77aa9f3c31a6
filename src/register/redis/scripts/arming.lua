-- Arming a lease.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: is_remembered, arm_lease
-- Uses:    format.rs (LEASE); prelude.lua (next_generation, now); key.lua (lease, put_key, record);
--          record.lua (bury_doubt, remembered_since)

-- Does the register remember everything since the request arrived, `age` ms ago?
local function is_remembered(age)
  return now - age >= remembered_since()
end

-- Arms the asker's lease.
local function arm_lease(pre, expect)
  lease.generation, lease.pre, lease.expect = next_generation(), pre, expect
  lease.expires = now + LEASE
  bury_doubt()
  record.state = '?'
  put_key()
end
