-- Begins an epoch where one is due, and says how the partition stands.
local leases = 0
local fields = redis.call('HGETALL', partition)
for i = 1, #fields, 2 do
  if string.find(fields[i], '/', 1, true) and now < blocked_until(unpack_lease(fields[i + 1])) then
    leases = leases + 1
  end
end
return {now, 'ok', math.max(quarantine_until - now, 0), leases}
