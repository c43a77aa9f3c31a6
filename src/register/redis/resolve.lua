local token, head = ARGV[2], ARGV[3]

-- Did the write land, where nobody else writes?
local function verdict(pre, expect)
  if not EXCLUSIVE or pre == '?' then
    return 'undetermined'
  end
  if pre ~= head then
    return 'landed'
  end
  local would_show
  if expect == 'anything' then
    would_show = false
  elseif expect == 'object' then
    would_show = head == 'A'
  else
    would_show = expect ~= head
  end
  return would_show and 'did not' or 'undetermined'
end

local doubt = record.doubt
if not held_by(token) or not doubt then
  return {now, 'nothing'}
end
local write_id, pre, expect, generation = unpack(doubt)
local resolution = verdict(pre, expect)
if resolution ~= 'did not' then
  write_down(write_id, resolution == 'landed' and landed(head, generation) or undetermined(generation))
  record.generation = generation
end
record.doubt = nil
-- Where others write, what stands there need not be of the doubt's generation.
record.state = EXCLUSIVE and head or '?'
put_record()
return {now, resolution}
