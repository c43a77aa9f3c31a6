if not held_by(ARGV[2]) or now >= lease.expires then
  return {now, 'lost'}
end
lease.expires = now + LEASE
put_lease()
return {now, 'ok'}
