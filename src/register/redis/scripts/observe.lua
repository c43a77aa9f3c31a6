-- The step observe, and the end of pin: what is believed of the key.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok', state, generation or false, pending generation or false, epoch, ms of
--          quarantine left, 1 if leased}
-- Uses:    clock.lua (now); prelude.lua (eid, quarantine_until); lease.lua (lease, blocked_until,
--          named); record.lua (record, pending)

local leased = lease and now < blocked_until(lease)
return {now, 'ok', record.state, named(record.generation) or false, named(pending()) or false, eid,
  math.max(quarantine_until - now, 0), leased and 1 or 0}
