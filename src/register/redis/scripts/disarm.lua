-- The step disarm: the store has definitely not applied the write.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state of the
--          key; [4] refusal to write down, or ''
-- Returns: {now, 'ok'}
--          {now, 'lost'}
-- Defines: disarm
-- Uses:    prelude.lua (now); key.lua (held_by, lease); record.lua (ending_of, told, write_down);
--          ending.lua (end_without_landing)

local function disarm(KEYS, ARGV)
  local token, pre, refused = ARGV[2], ARGV[3], ARGV[4]
  if not held_by(token) or not lease.generation then
    return {now, 'lost'}
  end
  -- No refusal is noted over an earlier attempt that may have landed.
  local ending = ending_of(lease.write_id)
  local contradicted = refused ~= '' and ending and told(ending) == 'U'
  if refused ~= '' and not contradicted then
    write_down(lease.write_id, refused)
  end
  end_without_landing(pre)
  return {now, contradicted and 'lost' or 'ok'}
end
