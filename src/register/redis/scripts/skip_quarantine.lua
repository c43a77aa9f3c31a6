-- The step skip_quarantine: ends the quarantine of the partition.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok'}
-- Defines: skip_quarantine
-- Uses:    prelude.lua (epoch, now, put_epoch)

local function skip_quarantine()
  put_epoch(epoch, 0, epoch.reserved, epoch.replid)
  return {now, 'ok'}
end
