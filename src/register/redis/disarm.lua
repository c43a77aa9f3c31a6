local token, pre = ARGV[2], ARGV[3]
if not held_by(token) or not lease.generation then
  return {now, 'lost'}
end
end_without_landing(pre)
return {now, 'ok'}
