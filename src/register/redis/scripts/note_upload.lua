local upload_name, of_epoch = ARGV[2], ARGV[3]
if of_epoch ~= eid then
  return {now, 'lost'}
end
local oldest, kept = now - UPLOAD_TTL, {}
for _, upload in ipairs(record.uploads) do
  if upload[1] ~= upload_name and upload[4] >= oldest then
    kept[#kept + 1] = upload
  end
end
while #kept >= UPLOADS_MAX do
  table.remove(kept, 1)
end
kept[#kept + 1] = {upload_name, tonumber(ARGV[4]) or false, tonumber(ARGV[5]) or false, now}
record.uploads = kept
put_record()
return {now, 'ok'}
