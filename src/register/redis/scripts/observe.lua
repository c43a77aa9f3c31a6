-- The step observe: what is believed of the key.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] there where the entry is wanted
-- Returns: {now, 'ok', epoch, state, generation or false, pending generation or false, ms of
--          quarantine left, 1 if leased, ms for which the key is young, the state before a write
--          under way or in doubt or false, ms for which that state is young, ms since the last
--          landing or false, where it is wanted: the entry of the last landing or false (format.rs)}
-- Defines: observed, observe
-- Uses:    format.rs (LAG); prelude.lua (epoch, now); key.lua (blocked_until, lease, record,
--          young_entry); record.lua (is_undecided, last_landing, pending, record_landing)

local function observed(entry)
  -- An armed lease means that the state is unknown.
  local leased = lease and now < blocked_until()
  local quarantine = math.max(epoch.quarantine_until - now, 0)
  -- What landed in earlier epochs is shown when the quarantine is over.
  local young_for = LAG > 0 and math.max(last_landing() + LAG - now, quarantine) or 0
  -- The first copy of a write that was sent twice may have landed since its second was recorded.
  local unknown = young_for > 0 and is_undecided()
  -- A write that was sent twice and is committed is neither under way nor in doubt.
  local before = lease and lease.nonce and lease.generation and lease.pre
    or record.doubt and record.doubt[2] or false
  local landing = record_landing()
  return {now, 'ok', epoch.id, unknown and '?' or record.state, record.generation or false, pending(),
    quarantine, leased and 1 or 0, young_for, before,
    LAG > 0 and math.max((record.landed_at or 0) + LAG - now, quarantine) or 0,
    landing > 0 and math.max(now - landing, 0), entry}
end

local function observe(_, ARGV)
  return observed(ARGV[2] and young_entry())
end
