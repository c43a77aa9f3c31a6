local token, pre, refused = ARGV[2], ARGV[3], ARGV[4] == 'refused'
if not held_by(token) or not lease.generation then
  return {now, 'lost'}
end
if refused then
  write_down(lease.write_id, 'R')
end
end_without_landing(pre)
return {now, 'ok'}
