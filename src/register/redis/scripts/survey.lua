-- The step survey: says how the partition stands and names leases that are over. Of a large
-- partition it looks at SURVEYED fields, chosen at random each time.
--
-- KEYS:    [1] the partition
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok', ms of quarantine left, number of leases, {<bucket>/<key> of each lease that
--          is over}}
-- Uses:    format.rs (EPOCH_FIELDS, SURVEYED); clock.lua (now); prelude.lua (partition,
--          quarantine_until); lease.lua (blocked_until, unpack_lease)

local number = redis.call('HLEN', partition)
local fields
if number > EPOCH_FIELDS + SURVEYED then
  fields = redis.call('HRANDFIELD', partition, SURVEYED, 'WITHVALUES')
else
  fields = redis.call('HGETALL', partition)
end
local over, others = {}, 0
for i = 1, #fields, 2 do
  local field, packed = fields[i], fields[i + 1]
  if string.sub(field, 1, 1) == '>' then
    others = others + 1
    -- No process waits any more.
    if now >= cmsgpack.unpack(packed) then
      redis.call('HDEL', partition, field)
    end
  elseif string.find(field, '/', 1, true) and now >= blocked_until(unpack_lease(packed)) then
    over[#over + 1] = field
  end
end
return {now, 'ok', math.max(quarantine_until - now, 0), number - EPOCH_FIELDS - others - #over, over}
