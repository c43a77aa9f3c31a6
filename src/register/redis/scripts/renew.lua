-- The step renew: prolongs a lease that has not run out.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token
-- Returns: {now, 'ok'}
--          {now, 'lost'}
-- Uses:    format.rs (LEASE); clock.lua (now); lease.lua (held_by, lease, put_lease)

if not held_by(ARGV[2]) or now >= lease.expires then
  return {now, 'lost'}
end
lease.expires = now + LEASE
put_lease()
return {now, 'ok'}
