-- What every step does first (docs/protocol.md#every-step-of-the-register): refuse to run on a
-- replica; begin a new epoch where the memory was interrupted; refuse a caller with other terms.
--
-- KEYS:    [1] the partition, [2] the record; without [2] the step is about no key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'replica'}
--          {now, 'terms', the partition's terms}
--          else goes on to the step
-- Defines: partition, name: the key of the hash, and the field of the key's lease in it; eid,
--          since, quarantine_until: the epoch; packed_lease: false where there is none
-- Uses:    format.rs (QUARANTINE, TERMS); clock.lua (now)

local info = redis.call('INFO', 'replication')
if not string.find(info, 'role:master', 1, true) then
  return {now, 'replica'}
end
-- 40 hex digits after the name. (Plain finds: a pattern search would cost as much as the rest of
-- the script.)
local _, before_replid = string.find(info, 'master_replid:', 1, true)
local replid = string.sub(info, before_replid + 1, before_replid + 40)

local partition = KEYS[1]
-- The field of the key's lease, <bucket>/<key>. Other fields have no '/' in their names.
local name = KEYS[2] and string.sub(KEYS[2], #partition + 1) or '/'
local fields = redis.call('HMGET', partition, 'replid', 'terms', 'eid', 'since', 'quar', name)
local eid, since, quarantine_until = fields[3], tonumber(fields[4]), tonumber(fields[5])
local packed_lease = fields[6]

if fields[1] ~= replid then
  -- The epoch's memory is lost or another server's: all leases are void.
  eid, since, quarantine_until, packed_lease = ARGV[1], now, now + QUARANTINE, false
  redis.call('DEL', partition)
  redis.call('HSET', partition, 'replid', replid, 'terms', TERMS, 'eid', eid, 'since', since,
    'quar', quarantine_until, 'n', 0)
elseif fields[2] ~= TERMS then
  return {now, 'terms', fields[2] or ''}
end
