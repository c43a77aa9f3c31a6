-- The step reclaim: puts back an armed lease that an earlier epoch granted.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token of that epoch; [3]
--          nonce; [4] write id; [5] 'plain' or 'long'; [6] state before the write; [7] expectation
-- Returns: {now, 'held'}
--          {now, 'reclaimed', token, generation}
--          {now, 'too late'}
-- Uses:    clock.lua (now); prelude.lua (quarantine_until); lease.lua (lease, held_by, token_of,
--          named, of_this_epoch); record.lua (record); arming.lua (arm_lease)

local token, nonce, write_id = ARGV[2], ARGV[3], ARGV[4]
local long, pre, expect = ARGV[5] == 'long', ARGV[6], ARGV[7]
if lease and lease.generation then
  if held_by(token) then
    return {now, 'held'}
  end
  if lease.nonce == nonce then
    return {now, 'reclaimed', token_of(nonce), named(lease.generation)}
  end
end
local ended = of_this_epoch(token) or record.last_nonce == nonce
if lease or ended or now >= quarantine_until then
  return {now, 'too late'}
end
lease = {nonce = nonce, expires = 0, quiet_until = 0, tainted = false, write_id = write_id,
  long = long, generation = false, pre = false, expect = false}
arm_lease(pre, expect)
return {now, 'reclaimed', token_of(nonce), named(lease.generation)}
