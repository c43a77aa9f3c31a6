local token, pre, expect, age = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not held_by(token) or now >= lease.expires then
  return {now, 'lost'}
end
if not is_remembered(age) then
  return {now, 'older'}
end
arm_lease(pre, expect)
return {now, 'armed', named(lease.generation)}
