-- Taking over from a lease whose time is over.
--
-- KEYS:    none
-- ARGV:    none
-- Defines: take_over
-- Uses:    lease.lua (lease); record.lua (bury_doubt, record, put_record)

-- Ends a lease whose time is over, if there is one; its field is left. The write of an armed lease
-- becomes a doubt, unless it was committed and the lease only kept the key blocked: then its first
-- copy may have landed since.
local function take_over()
  if not lease or not lease.generation then
    return
  end
  bury_doubt()
  if lease.nonce then
    record.doubt = {lease.write_id, lease.pre, lease.expect, lease.generation}
  end
  record.state = '?'
  put_record()
end
