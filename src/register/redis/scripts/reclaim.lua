local token, nonce, write_id = ARGV[2], ARGV[3], ARGV[4]
local long, pre, expect = ARGV[5] == 'long', ARGV[6], ARGV[7]
if lease and lease.generation then
  if held_by(token) then
    return {now, 'held'}
  end
  if lease.nonce == nonce then
    return {now, 'reclaimed', token_of(nonce), named(lease.generation)}
  end
end
local ended = of_this_epoch(token) or record.last_nonce == nonce
if lease or ended or now >= quarantine_until then
  return {now, 'too late'}
end
lease = {nonce = nonce, expires = 0, quiet_until = 0, tainted = false, write_id = write_id,
  long = long, generation = false, pre = false, expect = false}
arm_lease(pre, expect)
return {now, 'reclaimed', token_of(nonce), named(lease.generation)}
