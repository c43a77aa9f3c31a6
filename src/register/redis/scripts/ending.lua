-- Ending a lease under which nothing landed.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: end_without_landing
-- Uses:    prelude.lua (next_generation); key.lua (drop_lease, lease, put_key, record)

-- A tainted lease means that another holder's write landed under it: what its own holder knew of
-- the key is void. A state that is not the believed one was left by a writer that goes around the
-- proxies: it gets its own generation.
local function end_without_landing(state)
  local overturned = record.state ~= '?' and state ~= '?' and state ~= record.state
  if lease.tainted or overturned then
    record.generation = next_generation()
  end
  record.state = lease.tainted and '?' or state
  drop_lease()
  put_key()
end
