-- The step commit: the write has landed.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state after the
--          write; [4] ms for which a first copy may still land, or ''; [5] generation that the
--          lease was armed with, or ''; [6] what the store's answer said besides; [7] for listings:
--          the object's size and time, each - where it is not known, and what was done to the key's versions (format.rs)
-- Returns: {now, 'committed'}
--          {now, 'overtaken'}
--          {now, 'epoch changed'}
-- Defines: commit
-- Uses:    prelude.lua (epoch, named, next_generation, now, of_this_epoch, token_of); key.lua
--          (drop_lease, held_by, lease, put_key, record); record.lua (landed,
--          may_have_landed, write_down)

-- A write whose id begins with ~ has no retries, so the journal need not keep its ending.
local function write_down_landing(write_id, generation, ARGV)
  if string.sub(write_id, 1, 1) ~= '~' then
    write_down(write_id, landed(ARGV[3], generation, ARGV[6]))
  end
end

local function commit(KEYS, ARGV)
  local token, new, quiet = ARGV[2], ARGV[3], tonumber(ARGV[4])
  if record.last_nonce and token == token_of(record.last_nonce) then
    return {now, 'committed'}
  end
  record.said = ARGV[7]
  if held_by(token) and lease.generation then
    record.state = lease.tainted and '?' or new
    record.generation = lease.generation
    record.doubt, record.landing, record.landed_at = nil, nil, now
    record.last_nonce = lease.nonce
    write_down_landing(lease.write_id, lease.generation, ARGV)
    if quiet then
      lease.nonce, lease.expires, lease.quiet_until = nil, 0, now + quiet
    else
      drop_lease()
    end
    put_key()
    return {now, 'committed'}
  end
  record.landing = nil
  -- Its lease is over, and no other lease was granted since.
  local doubt = record.doubt
  local alone = not lease and not quiet and of_this_epoch(token)
  if alone and doubt and named(doubt[4]) == ARGV[5] then
    record.state, record.doubt = '?', nil
    record.generation, record.last_nonce = doubt[4], string.sub(token, #epoch.id + 2)
    may_have_landed(doubt[5])
    write_down_landing(doubt[1], doubt[4], ARGV)
    put_key()
    return {now, 'committed'}
  end
  -- Too late: another lease was granted since.
  if lease then
    lease.tainted = true
  end
  record.state = '?'
  may_have_landed(now)
  record.generation = next_generation()
  put_key()
  return {now, of_this_epoch(token) and 'overtaken' or 'epoch changed'}
end
