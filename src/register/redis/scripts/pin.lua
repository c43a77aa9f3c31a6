-- The first half of the step pin, which observe.lua ends: the key is given a generation where it
-- has none.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua)
-- Defines: nothing
-- Uses:    format.rs (PIN_TTL); lease.lua (next_generation); record.lua (record, put_record)

if not record.generation then
  local empty = record.state == '?' and record.lines == 0 and #record.uploads == 0
    and not record.doubt and not record.last_nonce and not record.forgotten
  record.generation = next_generation()
  put_record(empty and PIN_TTL)
else
  redis.call('PEXPIRE', KEYS[2], PIN_TTL, 'GT')
end
