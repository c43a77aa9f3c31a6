-- The step resolve: settles the doubt of the key by what a HEAD has seen.
--
-- KEYS:    [1] the partition, [2] the key
-- ARGV:    [1] name of a new epoch, should one begin (prelude.lua); [2] token; [3] state that the
--          HEAD has seen; [4] write id on the object, or ''; [5] what the HEAD can have shown:
--          'current', 'since' (the state before the write in doubt, or what that write left) or
--          'older'
-- Returns: {now, 'landed'}
--          {now, 'did not'}
--          {now, 'undetermined'}
--          {now, 'too early'}: what was seen may be old; the doubt stays
--          {now, 'nothing'}: the lease is lost, or there is no doubt
-- Defines: resolve
-- Uses:    format.rs (EXCLUSIVE); prelude.lua (now); key.lua (held_by, put_key, record); record.lua
--          (landed, may_have_landed, undetermined, write_down)

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
  local head, seen_id, view = ARGV[3], ARGV[4], ARGV[5]
  local doubt = record.doubt
  if not held_by(ARGV[2]) or not doubt then
    return {now, 'nothing'}
  end
  local write_id, pre, expect, generation = doubt[1], doubt[2], doubt[3], doubt[4]
  local by_id = expect == 'inscribed' and seen_id ~= ''
  local resolution
  if by_id then
    resolution = verdict_by_id(seen_id == write_id, pre, head)
  else
    resolution = verdict(pre, expect, head)
  end
  -- What a write has left cannot be older than the write.
  local is_shown = view == 'current'
    or resolution == 'landed' and (by_id or view == 'since')
  if not is_shown then
    return {now, 'too early'}
  end
  if resolution ~= 'did not' then
    local ending = resolution == 'landed' and landed(head, generation, '')
      or undetermined(generation)
    write_down(write_id, ending)
    record.generation = generation
    may_have_landed(doubt[5])
  end
  record.doubt = nil
  -- Where other writers go around the proxies, the state need not belong to the doubt's generation.
  -- And of two copies that landed, an old HEAD may have shown the first.
  record.state = EXCLUSIVE and view == 'current' and head or '?'
  put_key()
  return {now, resolution}
end
