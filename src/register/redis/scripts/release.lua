-- The step release: gives back a lease that was never armed.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state that a
--          HEAD has seen, or ''; [4] refusal to write down, or ''
-- Returns: {now, 'ok'}
--          {now, 'lost'}
-- Defines: release
-- Uses:    prelude.lua (now); key.lua (held_by, lease, record); record.lua (write_down); ending.lua
--          (end_without_landing)

local function release(KEYS, ARGV)
  local token, learned, refused = ARGV[2], ARGV[3], ARGV[4]
  if not held_by(token) or lease.generation then
    return {now, 'lost'}
  end
  if refused ~= '' then
    write_down(lease.write_id, refused)
  end
  end_without_landing(learned ~= '' and learned or record.state)
  return {now, 'ok'}
end
