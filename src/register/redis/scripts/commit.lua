-- The step commit: the write has landed.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state after the
--          write; [4] ms for which a first copy may still land, or ''; [5] generation that the
--          lease was armed with, or ''; [6] what the store's answer said besides
-- Returns: {now, 'committed'}
--          {now, 'overtaken'}
--          {now, 'epoch changed'}
-- Uses:    clock.lua (now); prelude.lua (eid); lease.lua (token_of, held_by, lease, put_lease,
--          drop_lease, of_this_epoch, named, next_generation); record.lua (write_down, landed,
--          record, put_record)

local token, new, quiet, generation, said = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]

-- A write whose id begins with ~ has no retries, so the journal need not keep its ending.
local function write_down_landing(write_id, of)
  if string.sub(write_id, 1, 1) ~= '~' then
    write_down(write_id, landed(new, of, said))
  end
end

if record.last_nonce and token == token_of(record.last_nonce) then
  return {now, 'committed'}
end
if held_by(token) and lease.generation then
  record.state = lease.tainted and '?' or new
  record.generation = lease.generation
  record.doubt = nil
  record.last_nonce = lease.nonce
  write_down_landing(lease.write_id, lease.generation)
  if quiet then
    lease.nonce, lease.expires, lease.quiet_until = false, 0, now + quiet
    put_lease()
  else
    drop_lease()
  end
  put_record()
  return {now, 'committed'}
end
-- Its lease was set aside, and no other lease was granted since.
local doubt = record.doubt
local alone = not lease and not quiet and of_this_epoch(token)
if alone and doubt and named(doubt[4]) == generation then
  record.state, record.doubt = '?', nil
  record.generation, record.last_nonce = doubt[4], string.sub(token, #eid + 2)
  write_down_landing(doubt[1], doubt[4])
  put_record()
  return {now, 'committed'}
end
-- Too late: another lease was granted since.
if lease then
  lease.tainted = true
  put_lease()
end
record.state = '?'
record.generation = next_generation()
put_record()
return {now, of_this_epoch(token) and 'overtaken' or 'epoch changed'}
