local token, new, quiet = ARGV[2], ARGV[3], tonumber(ARGV[4])
if record.last_nonce and token == token_of(record.last_nonce) then
  return {now, 'committed'}
end
if held_by(token) and lease.generation then
  record.state = lease.tainted and '?' or new
  record.generation = lease.generation
  record.doubt = nil
  record.last_nonce = lease.nonce
  -- Nobody asks again for a write that stands for itself.
  if string.sub(lease.write_id, 1, 1) ~= '~' then
    write_down(lease.write_id, landed(new, lease.generation))
  end
  if quiet then
    lease.nonce, lease.expires, lease.quiet_until = false, 0, now + quiet
    put_lease()
  else
    drop_lease()
  end
  put_record()
  return {now, 'committed'}
end
-- Too late: somebody came between.
if lease then
  lease.tainted = true
  put_lease()
end
record.state = '?'
record.generation = next_generation()
put_record()
return {now, of_this_epoch(token) and 'overtaken' or 'epoch changed'}
