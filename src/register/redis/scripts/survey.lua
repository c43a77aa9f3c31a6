-- The step survey: says how the partition stands. It writes down the server's present replication
-- id, by which another library will know the epoch, and forgets what is over of the memory.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok', ms of quarantine left, number of leases that this library knows}
--          {now, 'replica'}
-- Defines: survey
-- Uses:    prelude.lua (epoch, now, put_epoch, replid_of_master)

local function survey()
  local replid = replid_of_master()
  if not replid then
    return {now, 'replica'}
  end
  if replid ~= epoch.replid then
    put_epoch(epoch, epoch.quarantine_until, epoch.reserved, replid)
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
