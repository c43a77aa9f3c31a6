-- The step reclaim: puts back an armed lease that an earlier epoch granted.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token of that epoch; [3]
--          nonce; [4] write id; [5] 'plain' or 'long'; [6] state before the write; [7] expectation
-- Returns: {now, 'held'}
--          {now, 'reclaimed', epoch, generation}
--          {now, 'too late'}
-- Defines: reclaim
-- Uses:    prelude.lua (epoch, now, of_this_epoch); key.lua (held_by, lease,
--          new_lease, record); arming.lua (arm_lease)

local function reclaim(KEYS, ARGV)
  local token, nonce = ARGV[2], ARGV[3]
  if lease and lease.generation then
    if held_by(token) then
      return {now, 'held'}
    end
    if lease.nonce == nonce then
      return {now, 'reclaimed', epoch.id, lease.generation}
    end
  end
  local ended = of_this_epoch(token) or record.last_nonce == nonce
  if lease or ended or now >= epoch.quarantine_until then
    return {now, 'too late'}
  end
  new_lease(nonce, ARGV[4], ARGV[5] == 'long')
  arm_lease(ARGV[6], ARGV[7])
  return {now, 'reclaimed', epoch.id, lease.generation}
end
