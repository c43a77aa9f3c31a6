-- The step resolve: settles the doubt of the key by what a HEAD has seen.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state that the
--          HEAD has seen; [4] write id on the object, or ''
-- Returns: {now, 'landed'}
--          {now, 'did not'}
--          {now, 'undetermined'}
--          {now, 'nothing'}: the lease is lost, or there is no doubt
-- Defines: resolve
-- Uses:    format.rs (EXCLUSIVE); prelude.lua (now); key.lua (held_by, put_key, record); record.lua
--          (landed, undetermined, write_down)

-- Did a write land that leaves its id on the object, where the object seen carries some write's id?
-- Another write's id was there before, unless the state has changed.
local function verdict_by_id(its_own, pre, head)
  if its_own then
    return 'landed'
  end
  return (pre == '?' or pre == head) and 'did not' or 'undetermined'
end

-- Did the write land, where all writers go through the proxies?
local function verdict(pre, expect, head)
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

local function resolve(KEYS, ARGV)
  local head, seen_id = ARGV[3], ARGV[4]
  local doubt = record.doubt
  if not held_by(ARGV[2]) or not doubt then
    return {now, 'nothing'}
  end
  local write_id, pre, expect, generation = doubt[1], doubt[2], doubt[3], doubt[4]
  local resolution
  if expect == 'inscribed' and seen_id ~= '' then
    resolution = verdict_by_id(seen_id == write_id, pre, head)
  else
    resolution = verdict(pre, expect, head)
  end
  if resolution ~= 'did not' then
    local ending = resolution == 'landed' and landed(head, generation, '')
      or undetermined(generation)
    write_down(write_id, ending)
    record.generation = generation
  end
  record.doubt = nil
  -- Where other writers go around the proxies, the state need not belong to the doubt's generation.
  record.state = EXCLUSIVE and head or '?'
  put_key()
  return {now, resolution}
end
