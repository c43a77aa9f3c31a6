-- The step resolve: settles the doubt of the key by what a HEAD has seen.
--
-- KEYS:    [1] the partition, [2] the record
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state that the
--          HEAD has seen; [4] write id on the object, or ''
-- Returns: {now, 'landed'}
--          {now, 'did not'}
--          {now, 'undetermined'}
--          {now, 'nothing'}: the lease is lost, or there is no doubt
-- Uses:    format.rs (EXCLUSIVE); clock.lua (now); lease.lua (held_by); record.lua (record,
--          write_down, landed, undetermined, put_record)

local token, head, seen_id = ARGV[2], ARGV[3], ARGV[4]

-- Did a write land that leaves its id on the object, where the object seen carries some write's id?
-- Another write's id was there before, unless the state has changed.
local function verdict_by_id(write_id, pre)
  if seen_id == write_id then
    return 'landed'
  end
  return (pre == '?' or pre == head) and 'did not' or 'undetermined'
end

-- Did the write land, where all writers go through the proxies?
local function verdict(pre, expect)
  if not EXCLUSIVE or pre == '?' then
    return 'undetermined'
  end
  if pre ~= head then
    return 'landed'
  end
  local would_show = false
  if expect == 'A' then
    would_show = head ~= 'A'
  elseif expect == 'object' or expect == 'inscribed' then
    would_show = head == 'A'
  end
  return would_show and 'did not' or 'undetermined'
end

local doubt = record.doubt
if not held_by(token) or not doubt then
  return {now, 'nothing'}
end
local write_id, pre, expect, generation = unpack(doubt)
local resolution
if expect == 'inscribed' and seen_id ~= '' then
  resolution = verdict_by_id(write_id, pre)
else
  resolution = verdict(pre, expect)
end
if resolution ~= 'did not' then
  write_down(write_id, resolution == 'landed' and landed(head, generation, '') or undetermined(generation))
  record.generation = generation
end
record.doubt = nil
-- Where other writers go around the proxies, the state need not belong to the doubt's generation.
record.state = EXCLUSIVE and head or '?'
put_record()
return {now, resolution}
