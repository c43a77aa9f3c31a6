-- The step set_aside: ends a lease that blocks no one any more, and keeps its doubt in the record.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: {now, 'ok'}
--          {now, 'lost'}
-- Uses:    clock.lua (now); lease.lua (lease, blocked_until, drop_lease); taking_over.lua
--          (take_over)

if not lease or now < blocked_until(lease) then
  return {now, 'lost'}
end
take_over()
drop_lease()
return {now, 'ok'}
