local token, learned, refused = ARGV[2], ARGV[3], ARGV[4]
if not held_by(token) or lease.generation then
  return {now, 'lost'}
end
if refused ~= '' then
  write_down(lease.write_id, refused)
end
end_without_landing(learned ~= '' and learned or record.state)
return {now, 'ok'}
