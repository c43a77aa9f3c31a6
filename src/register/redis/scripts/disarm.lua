local token, pre, refused = ARGV[2], ARGV[3], ARGV[4]
if not held_by(token) or not lease.generation then
  return {now, 'lost'}
end
-- Of an earlier attempt that may have landed no refusal is noted.
local ending = ending_of(lease.write_id)
local contradicted = refused ~= '' and ending and told(ending) == 'U'
if refused ~= '' and not contradicted then
  write_down(lease.write_id, refused)
end
end_without_landing(pre)
return {now, contradicted and 'lost' or 'ok'}
