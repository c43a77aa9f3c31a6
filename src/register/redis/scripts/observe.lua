-- The step observe: what is believed of the key.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok', epoch, state, generation or false, pending generation or false, ms of
--          quarantine left, 1 if leased}
-- Defines: observe
-- Uses:    prelude.lua (epoch, now); key.lua (blocked_until, lease, record); record.lua
--          (pending)

local function observe()
  -- An armed lease means that the state is unknown.
  local leased = lease and now < blocked_until()
  return {now, 'ok', epoch.id, record.state, record.generation or false, pending(),
    math.max(epoch.quarantine_until - now, 0), leased and 1 or 0}
end
