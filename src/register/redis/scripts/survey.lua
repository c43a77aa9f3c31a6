-- The step survey: says how the partition stands. It writes down the server's present replication
-- id, by which another library will know the epoch, and forgets what is over of the memory.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok', ms of quarantine left, number of leases that this library knows}
-- Defines: survey
-- Uses:    prelude.lua (epoch, now, put_epoch, server_replid)

local function survey()
  if epoch.replid ~= server_replid then
    put_epoch(epoch, epoch.quarantine_until, epoch.reserved, server_replid)
  end
  local leases = 0
  for key_leased, ends in pairs(epoch.leases) do
    if now < ends then
      leases = leases + 1
    else
      epoch.leases[key_leased] = nil
    end
  end
  for key_awaited, waiters in pairs(epoch.waiters) do
    local last = 0
    for _, waiter in ipairs(waiters) do
      last = math.max(last, waiter[2])
    end
    if now >= last then
      epoch.waiters[key_awaited] = nil
    end
  end
  return {now, 'ok', math.max(epoch.quarantine_until - now, 0), leases}
end
