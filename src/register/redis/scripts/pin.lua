-- The step pin: as observe, and the key is given a generation where it has none.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Returns: what observe returns
-- Defines: pin
-- Uses:    format.rs (PIN_TTL); prelude.lua (call, key, next_generation); key.lua (lease, put_key,
--          record); observe.lua (observed)

local function pin()
  if not record.generation then
    local empty = record.state == '?' and record.lines == 0 and not record.uploads[1]
      and not record.doubt and not record.last_nonce and not record.forgotten and not lease
    record.generation = next_generation()
    put_key(empty and PIN_TTL)
  else
    call('PEXPIRE', key, PIN_TTL, 'GT')
  end
  return observed()
end
