-- The step renew: prolongs a lease that has not run out.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token
-- Returns: {now, 'ok'}
--          {now, 'lost'}
-- Defines: renew
-- Uses:    format.rs (LEASE); prelude.lua (now); key.lua (held_by, lease, put_key)

local function renew(KEYS, ARGV)
  if not held_by(ARGV[2]) or now >= lease.expires then
    return {now, 'lost'}
  end
  lease.expires = now + LEASE
  put_key()
  return {now, 'ok'}
end
