-- The step skip_quarantine: ends the quarantine of the partition, but for the time that the store needs
-- after a landing.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok'}
-- Defines: skip_quarantine
-- Uses:    format.rs (LAG, SPACING); prelude.lua (epoch, now, put_epoch)

local function skip_quarantine()
  local until_then = math.min(epoch.quarantine_until, epoch.since + math.max(LAG, SPACING))
  put_epoch(epoch, until_then, epoch.reserved, epoch.replid)
  return {now, 'ok'}
end
